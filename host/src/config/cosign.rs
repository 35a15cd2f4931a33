//! Public keys of cosign: ECDSA on P-256 in a PEM file, as `cosign generate-key-pair` writes `cosign.pub`.
//!
//! What `cosign sign-blob --key` puts out is the base64 of an ECDSA signature (ASN.1 DER) over SHA-256 of the blob
//! (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>). It is verified here with the key alone: no
//! certificate, no transparency log, no network.

use picket_ledger::hash::{from_base64, sha256, to_hex};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

/// SubjectPublicKeyInfo of an uncompressed point on P-256 is this and the point's 65 bytes (RFC 5480, sections 2.1 and 2.2).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A public key that verifies cosign's signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignKey {
    /// `04 ‖ x ‖ y`.
    point: Vec<u8>,
    id: [u8; 4],
}

impl CosignKey {
    /// Reads the PEM text of a key.
    ///
    /// # Errors
    /// What is wrong, for a message.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| {
            "holds no PEM block `PUBLIC KEY`; `cosign generate-key-pair` writes one as cosign.pub".to_owned()
        })?;
        let point = info.as_ref().strip_prefix(&P256).filter(|point| point.len() == 65 && point[0] == 4);
        let point = point.ok_or("is not an ECDSA key on P-256, the only kind of cosign's keys that is taken")?;
        let [a, b, c, d, ..] = sha256(info.as_ref());
        Ok(Self { point: point.to_vec(), id: [a, b, c, d] })
    }

    /// The first four bytes of SHA-256 of the SubjectPublicKeyInfo, in hexadecimal characters.
    #[must_use]
    pub fn id(&self) -> String {
        to_hex(&self.id)
    }

    /// The whole key in hexadecimal characters.
    #[must_use]
    pub fn to_hex(&self) -> String {
        to_hex(&self.point)
    }

    /// Whether `signature`, the text of a `.sig` file of cosign, is over `blob` and by this key.
    #[must_use]
    pub fn verifies(&self, blob: &[u8], signature: &str) -> bool {
        let base64 = signature.strip_suffix('\n').unwrap_or(signature);
        let Some(der) = from_base64(base64) else { return false };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(blob, &der).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by OpenSSL 3, whose `dgst -sha256 -sign` and base64 are what cosign writes:
    // openssl ecparam -name prime256v1 -genkey -noout -out key.pem && openssl ec -in key.pem -pubout
    // openssl dgst -sha256 -sign key.pem blob | base64 -w0
    const PEM: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEHx4JBvM7+E3Di01Wk7I2SRFHnELt\n\
H/OS6PwnBb44t3bsYLHsNCwkI2hvWEXQfGlnuefdMtQHJc1XVD+0d58Yag==\n\
-----END PUBLIC KEY-----\n";
    const BLOB: &[u8] = b"the bytes of a component\n";
    const SIGNATURE: &str =
        "MEUCIQDGs48x2nvAR162rui53z4nu9gZib4u7uzVn1fBn72F8gIgdmYTa95qcRpZyqftfAp1lk3hfPg7NU9EIV9TX63AziE=";
    // Of the curve P-384.
    const OTHER: &str = "\
-----BEGIN PUBLIC KEY-----\n\
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEnS6kZp6dsutJ3izna1sXJF+3oVXo8JMZ\n\
yJ/4XPUIIZTtLSv5KuUB1IN6wpoQdiniyF4z7Sp9D9Ib13nU3EWkQWCvSfmVvsRB\n\
KS3h1n3GsKBsGUSkn4ewcyI8AtsTjPDe\n\
-----END PUBLIC KEY-----\n";

    #[test]
    fn a_signature_of_openssl_verifies_and_no_altered_one_does() {
        let key = CosignKey::parse(PEM.as_bytes()).unwrap();
        assert!(key.verifies(BLOB, SIGNATURE) && key.verifies(BLOB, &format!("{SIGNATURE}\n")));
        for bit in 0..BLOB.len() * 8 {
            let mut blob = BLOB.to_vec();
            blob[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verifies(&blob, SIGNATURE), "bit {bit} of the blob");
        }
        for bit in 0..SIGNATURE.len() * 8 {
            let mut signature = SIGNATURE.as_bytes().to_vec();
            signature[bit / 8] ^= 1 << (bit % 8);
            let Ok(signature) = String::from_utf8(signature) else { continue };
            assert!(!key.verifies(BLOB, &signature), "bit {bit} of the signature");
        }
        for signature in ["", "\n", "AAAA", &SIGNATURE[4..], &format!("{SIGNATURE}\n\n"), &format!(" {SIGNATURE}")] {
            assert!(!key.verifies(BLOB, signature), "{signature:?}");
        }
    }

    #[test]
    fn other_keys_are_refused() {
        assert!(CosignKey::parse(OTHER.as_bytes()).unwrap_err().contains("P-256"));
        assert!(CosignKey::parse(b"").unwrap_err().contains("PEM"));
        assert!(CosignKey::parse(PEM.replace("PUBLIC", "PRIVATE").as_bytes()).is_err());
    }
}
