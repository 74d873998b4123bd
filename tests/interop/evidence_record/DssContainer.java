import eu.europa.esig.dss.diagnostic.EvidenceRecordWrapper;
import eu.europa.esig.dss.diagnostic.TimestampWrapper;
import eu.europa.esig.dss.diagnostic.jaxb.XmlDigestMatcher;
import eu.europa.esig.dss.diagnostic.jaxb.XmlManifestFile;
import eu.europa.esig.dss.model.InMemoryDocument;
import eu.europa.esig.dss.spi.DSSUtils;
import eu.europa.esig.dss.spi.validation.CommonCertificateVerifier;
import eu.europa.esig.dss.spi.x509.CommonTrustedCertificateSource;
import eu.europa.esig.dss.validation.SignedDocumentValidator;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Reads lines of paths, tab between them: an ASiC container, then trusted certificates. Answers each with a line: the indication that the
 * validation comes to under DSS's own policy, after what DSS found in the container.
 */
public class DssContainer {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(judge(line.split("\t")));
            System.out.flush();
        }
    }

    private static String judge(String[] paths) {
        try {
            var trusted = new CommonTrustedCertificateSource();
            for (int i = 1; i < paths.length; i++) {
                trusted.addCertificate(DSSUtils.loadCertificate(Files.readAllBytes(Path.of(paths[i]))));
            }
            var verifier = new CommonCertificateVerifier();
            verifier.setTrustedCertSources(trusted);
            var validator = SignedDocumentValidator.fromDocument(new InMemoryDocument(Files.readAllBytes(Path.of(paths[0])), "container.asice"));
            validator.setCertificateVerifier(verifier);
            var reports = validator.validateDocument();
            var found = reports.getDiagnosticData();
            if (found.getEvidenceRecords().size() != 1) {
                return "refused: " + found.getEvidenceRecords().size() + " evidence records";
            }
            EvidenceRecordWrapper record = found.getEvidenceRecords().get(0);
            List<String> faults = new ArrayList<>(record.getStructuralValidationMessages());
            if (found.getManifestFiles().stream().noneMatch(each -> covers(each, record, found.getContainerContentFilenames()))) {
                faults.add("no manifest names the record and all files");
            }
            // Without a manifest, or with another name in it, DSS says that nothing was found, and not that something is wrong.
            record.getDigestMatchers().stream().filter(each -> !isIntact(each)).forEach(each -> faults.add("a file is not what the record is for"));
            for (TimestampWrapper timestamp : record.getTimestampList()) {
                if (!timestamp.isMessageImprintDataFound() || !timestamp.isMessageImprintDataIntact() || !timestamp.isSignatureIntact()) {
                    faults.add("a timestamp is not for what it stands at, or not signed by its signer");
                }
            }
            String indication = String.valueOf(reports.getSimpleReport().getIndication(record.getId()));
            String container = found.getContainerType() + " " + String.join(",", found.getContainerContentFilenames());
            return faults.isEmpty() ? "accepted: " + indication + " " + container : "refused: " + indication + " " + String.join(", ", faults);
        } catch (Exception refusal) {
            return ("refused: " + refusal).replace('\n', ' ');
        }
    }

    private static boolean covers(XmlManifestFile manifest, EvidenceRecordWrapper record, List<String> files) {
        return manifest.getSignatureFilename().equals(record.getFilename()) && manifest.getEntries().equals(files);
    }

    private static boolean isIntact(XmlDigestMatcher matcher) {
        return matcher.isDataFound() && matcher.isDataIntact();
    }
}
