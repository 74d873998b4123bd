import eu.europa.esig.dss.evidencerecord.asn1.validation.ASN1EvidenceRecordAnalyzerFactory;
import eu.europa.esig.dss.model.DSSDocument;
import eu.europa.esig.dss.model.InMemoryDocument;
import eu.europa.esig.dss.model.ReferenceValidation;
import eu.europa.esig.dss.spi.x509.tsp.TimestampToken;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads lines of paths, tab between them: an evidence record, then its files. Answers each with a line. */
public class Dss {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(judge(line.split("\t")));
            System.out.flush();
        }
    }

    private static String judge(String[] paths) {
        try {
            List<DSSDocument> files = new ArrayList<>();
            for (int i = 1; i < paths.length; i++) {
                files.add(new InMemoryDocument(Files.readAllBytes(Path.of(paths[i])), "file" + i));
            }
            var analyzer = new ASN1EvidenceRecordAnalyzerFactory().create(new InMemoryDocument(Files.readAllBytes(Path.of(paths[0])), "record"));
            analyzer.setDetachedContents(files);
            var record = analyzer.getEvidenceRecord();
            List<String> faults = new ArrayList<>();
            faults.addAll(record.getStructureValidationResult());
            long found = record.getReferenceValidation().stream().filter(each -> each.isFound() && each.isIntact()).count();
            if (found < files.size()) {
                faults.add("a file is not in the record");
            }
            for (TimestampToken timestamp : record.getTimestamps()) {
                timestamp.getCertificates().stream().filter(timestamp::isSignedBy).findAny();
                if (!timestamp.isMessageImprintDataFound() || !timestamp.isMessageImprintDataIntact()) {
                    faults.add("a timestamp is not for the hash that the lists lead to");
                }
                if (!timestamp.isSignatureIntact()) {
                    faults.add("a timestamp is not signed by its signer");
                }
                if (timestamp.getReferenceValidations().stream().anyMatch(Dss::isBroken)) {
                    faults.add("a timestamp is not for what came before it");
                }
            }
            return faults.isEmpty() ? "accepted" : "refused " + String.join(", ", faults);
        } catch (Exception refusal) {
            return ("refused " + refusal).replace('\n', ' ');
        }
    }

    private static boolean isBroken(ReferenceValidation reference) {
        return !reference.isIntact() && reference.getType() != eu.europa.esig.dss.enumerations.DigestMatcherType.EVIDENCE_RECORD_ORPHAN_REFERENCE;
    }
}
