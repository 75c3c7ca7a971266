//! The signatures of captured requests, which Apache's Java client made.

use gantry_protocol::{Credentials, RemotingCommand, SECURITY_TOKEN, SIGNATURE};

use crate::captures;

const ACCESS_KEY: &str = "CapAccessKey";
const SECRET_KEY: &str = "CapSecretKey12345678";

fn signed() -> Vec<(String, RemotingCommand)> {
    let frames = captures::well_formed().into_iter().filter(|frame| frame.place.starts_with("14_acl"));
    let commands = frames.map(|frame| (frame.place.clone(), frame.command()));
    commands.filter(|(_, command)| command.ext_fields.get(SIGNATURE).is_some()).collect()
}

#[test]
fn every_signature_of_the_java_client_holds() {
    let signed = signed();
    assert_eq!(signed.len(), 27);
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY);
    for (place, command) in signed {
        assert_eq!(credentials.verify(&command), Ok(()), "{place}");
    }
}

#[test]
fn a_request_is_signed_as_the_java_client_signs_it() {
    for (place, theirs) in signed() {
        let mut credentials = Credentials::new(ACCESS_KEY, SECRET_KEY);
        if let Some(token) = theirs.ext_fields.get(SECURITY_TOKEN) {
            credentials = credentials.with_security_token(token);
        }
        let mut ours = theirs.clone();
        for field in ["AccessKey", SECURITY_TOKEN, SIGNATURE] {
            ours.ext_fields.remove(field);
        }
        credentials.sign(&mut ours);
        assert_eq!(ours.ext_fields, theirs.ext_fields, "{place}");
    }
}
