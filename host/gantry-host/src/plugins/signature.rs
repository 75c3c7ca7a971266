//! Whether a file may be loaded at all: signed by a listed key, or no key is listed.

use minisign_verify::{Error, PublicKey, Signature};

use crate::config::SignatureSettings;

/// The largest signature file that is read, in bytes.
pub(super) const MAX_SIGNATURE: u64 = 4096;

/// Holds a component against the policy.
///
/// # Errors
/// Why it may not be loaded: the rule and the fix.
pub(super) fn check(
    settings: &SignatureSettings,
    stem: &str,
    bytes: &[u8],
    signature: Option<&str>,
) -> Result<(), String> {
    if settings.signed_by.is_empty() {
        return Ok(());
    }
    let Some(text) = signature else {
        return Err(format!(
            "it is not signed, and [signatures] signed-by asks for it: put {stem}.wasm.minisig beside it (minisign -S -m {stem}.wasm)"
        ));
    };
    let signature = Signature::decode(text)
        .map_err(|error| format!("{stem}.wasm.minisig is no minisign signature: {error}"))?;
    let mut wrong_bytes = false;
    for key in settings.signed_by.iter().filter_map(|key| PublicKey::from_base64(key).ok()) {
        match key.verify(bytes, &signature, false) {
            Ok(()) => return Ok(()),
            Err(Error::UnexpectedKeyId) => {}
            Err(_wrong) => wrong_bytes = true,
        }
    }
    Err(match wrong_bytes {
        true => format!(
            "{stem}.wasm.minisig is by a listed key, but of other bytes: sign this content again (minisign -S -m {stem}.wasm), or put back the content that was signed"
        ),
        false => format!(
            "{stem}.wasm.minisig is by no key listed under [signatures] signed-by: sign it with a listed key, or list the signer's public key"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two public keys and the first one's signature of [`SIGNED`], made for this test; the private keys are gone.
    const KEY: &str = "RWTCcHY2hMg/sVgx/CmVM2qrU3q1RAQovyZCFQF+XzcPicZkZ53L9tTN";
    const OTHER_KEY: &str = "RWQqdIa98WaOy79KUIkupTPnR2UhNDAr5GeSReHl+XQphCvXJuI4Pw/t";
    const SIGNED: &[u8] = b"\0asm a component";
    const SIGNATURE: &str = "untrusted comment: signature of a test
RUTCcHY2hMg/sUN5UjZWENDziGzFaiiL0osDMqb/vkvy9WvjSH0E3AHf6k53vscidYL8+RaKkuGjlbBs5HB06POWi8QjBJcW0QA=
trusted comment: signed for the tests of a plugin host
Dis5BD8ucbHlkIRTrdPLSLxbdwOL3c6lqTz2TtbQRXQJ932l73YpJQ3hxkY5t4SFzzWL34tbRiyuN4frcf/hDg==
";

    fn checked(keys: &[&str], bytes: &[u8], signature: Option<&str>) -> Result<(), String> {
        let settings = SignatureSettings { signed_by: keys.iter().map(|key| (*key).to_owned()).collect() };
        check(&settings, "orders", bytes, signature)
    }

    #[test]
    fn where_no_key_is_listed_any_file_is_loaded() {
        assert_eq!(checked(&[], b"anything", None), Ok(()));
    }

    #[test]
    fn a_listed_key_will_do() {
        assert_eq!(checked(&[KEY], SIGNED, Some(SIGNATURE)), Ok(()));
        assert_eq!(checked(&[OTHER_KEY, KEY], SIGNED, Some(SIGNATURE)), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refused = |keys: &[&str], bytes: &[u8], signature| checked(keys, bytes, signature).unwrap_err();
        let missing = refused(&[KEY], SIGNED, None);
        assert!(missing.contains("not signed") && missing.contains("orders.wasm.minisig"), "{missing}");
        let wrong_key = refused(&[OTHER_KEY], SIGNED, Some(SIGNATURE));
        assert!(wrong_key.contains("by no key listed"), "{wrong_key}");
        let wrong_bytes = refused(&[OTHER_KEY, KEY], b"\0asm another component", Some(SIGNATURE));
        assert!(wrong_bytes.contains("of other bytes"), "{wrong_bytes}");
        let tampered = SIGNATURE.replace("for the tests", "for anybody");
        assert!(refused(&[KEY], SIGNED, Some(&tampered)).contains("of other bytes"));
        assert!(refused(&[KEY], SIGNED, Some("rubbish")).contains("no minisign signature"));
    }
}
