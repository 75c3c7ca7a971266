//! What Java's client settles popped messages by, against what is read here from the same answers.

use std::collections::BTreeSet;

use gantry_protocol::header::{
    AckMessageRequestHeader, ChangeInvisibleTimeRequestHeader, PopMessageResponseHeader,
};
use gantry_protocol::pop::PopReceipt;
use gantry_protocol::{MessageExt, decode_all};

use crate::captures;

#[test]
fn receipts_are_those_that_javas_client_settles_by() {
    let (mut handles, mut settled) = (BTreeSet::new(), 0);
    for frame in captures::well_formed() {
        let command = frame.command();
        let handle = match frame.name.as_deref().unwrap_or_default() {
            "POP_MESSAGE SUCCESS" => {
                let header: PopMessageResponseHeader = command.header().unwrap();
                let messages: Vec<MessageExt> = decode_all(command.body).map(Result::unwrap).collect();
                let receipts = PopReceipt::of_answer(&header, &messages).unwrap();
                assert_eq!(receipts.len(), messages.len(), "{}", frame.place);
                handles.extend(receipts.iter().map(|receipt| receipt.handle("broker-a").to_string()));
                continue;
            }
            "ACK_MESSAGE" => command.header::<AckMessageRequestHeader>().unwrap().extra_info,
            "CHANGE_MESSAGE_INVISIBLETIME" => {
                command.header::<ChangeInvisibleTimeRequestHeader>().unwrap().extra_info
            }
            _ => continue,
        };
        assert!(handles.contains(&handle), "{}: {handle} is none of {handles:?}", frame.place);
        settled += 1;
    }
    assert_eq!(settled, 11, "settlements of Java's client");
}
