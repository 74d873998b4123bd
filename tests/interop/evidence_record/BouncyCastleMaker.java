import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.nist.NISTObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.operator.DigestCalculator;
import org.bouncycastle.operator.DigestCalculatorProvider;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.tsp.TimeStampRequest;
import org.bouncycastle.tsp.TimeStampRequestGenerator;
import org.bouncycastle.tsp.TimeStampResponse;
import org.bouncycastle.tsp.ers.ERSArchiveTimeStampGenerator;
import org.bouncycastle.tsp.ers.ERSByteData;
import org.bouncycastle.tsp.ers.ERSData;
import org.bouncycastle.tsp.ers.ERSDataGroup;
import org.bouncycastle.tsp.ers.ERSEvidenceRecord;
import org.bouncycastle.tsp.ers.ERSEvidenceRecordGenerator;

/**
 * Makes and renews evidence records. Reads lines of words, tab between them; files of one data group have a comma between them.
 *
 *   make   OUT GROUP...          a record for each group, OUT.0 and so on, under SHA-256
 *   stamp  OUT RECORD            its timestamp renewed
 *   hash   OUT RECORD GROUP      its hash tree renewed, under SHA-512
 *
 * Answers each with the imprint in hex, reads the path of the authority's answer, and says how many records it wrote; or "refused" and why.
 */
public class BouncyCastleMaker {
    private static final BufferedReader LINES = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    public static void main(String[] arguments) throws Exception {
        for (String line = LINES.readLine(); line != null; line = LINES.readLine()) {
            try {
                say(String.valueOf(make(line.split("\t"))));
            } catch (Exception refusal) {
                say(("refused " + refusal).replace('\n', ' '));
            }
        }
    }

    private static int make(String[] words) throws Exception {
        DigestCalculatorProvider provider = new JcaDigestCalculatorProviderBuilder().build();
        var request = new TimeStampRequestGenerator();
        var out = words[1];
        if (words[0].equals("make")) {
            var generator = new ERSArchiveTimeStampGenerator(hash(provider, NISTObjectIdentifiers.id_sha256));
            for (int i = 2; i < words.length; i++) {
                generator.addData(group(words[i]));
            }
            var response = ask(generator.generateTimeStampRequest(request));
            var records = new ERSEvidenceRecordGenerator(provider).generate(generator.generateArchiveTimeStamps(response));
            for (int i = 0; i < records.size(); i++) {
                Files.write(Path.of(out + "." + i), records.get(i).getEncoded());
            }
            return records.size();
        }
        var older = new ERSEvidenceRecord(Files.readAllBytes(Path.of(words[2])), provider);
        if (words[0].equals("stamp")) {
            var response = ask(older.generateTimeStampRenewalRequest(request));
            Files.write(Path.of(out), older.renewTimeStamp(response).getEncoded());
        } else {
            var data = group(words[3]);
            var response = ask(older.generateHashRenewalRequest(hash(provider, NISTObjectIdentifiers.id_sha512), data, request));
            Files.write(Path.of(out), older.renewHash(hash(provider, NISTObjectIdentifiers.id_sha512), data, response).getEncoded());
        }
        return 1;
    }

    private static TimeStampResponse ask(TimeStampRequest request) throws Exception {
        var hex = new StringBuilder();
        for (byte each : request.getMessageImprintDigest()) {
            hex.append(String.format("%02x", each));
        }
        say(hex.toString());
        return new TimeStampResponse(Files.readAllBytes(Path.of(LINES.readLine())));
    }

    private static DigestCalculator hash(DigestCalculatorProvider provider, ASN1ObjectIdentifier algorithm) throws Exception {
        return provider.get(new AlgorithmIdentifier(algorithm, DERNull.INSTANCE));
    }

    private static ERSData group(String paths) throws Exception {
        List<ERSData> files = new ArrayList<>();
        for (String path : paths.split(",")) {
            files.add(new ERSByteData(Files.readAllBytes(Path.of(path))));
        }
        return files.size() == 1 ? files.get(0) : new ERSDataGroup(files);
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
