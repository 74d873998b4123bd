import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.ers.ERSByteData;
import org.bouncycastle.tsp.ers.ERSData;
import org.bouncycastle.tsp.ers.ERSDataGroup;
import org.bouncycastle.tsp.ers.ERSEvidenceRecord;

/** Reads lines of paths, tab between them: an evidence record, then its files (several are a data group). Answers each with a line. */
public class BouncyCastle {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(judge(line.split("\t")));
            System.out.flush();
        }
    }

    private static String judge(String[] paths) {
        try {
            var record = new ERSEvidenceRecord(Files.readAllBytes(Path.of(paths[0])), new JcaDigestCalculatorProviderBuilder().build());
            List<ERSData> files = new ArrayList<>();
            for (int i = 1; i < paths.length; i++) {
                files.add(new ERSByteData(Files.readAllBytes(Path.of(paths[i]))));
            }
            record.validatePresent(files.size() == 1 ? files.get(0) : new ERSDataGroup(files), new Date());
            record.validate(new JcaSimpleSignerInfoVerifierBuilder().build(record.getSigningCertificate()));
            return "accepted";
        } catch (Exception refusal) {
            return ("refused " + refusal).replace('\n', ' ');
        }
    }
}
