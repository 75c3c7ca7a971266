//! A lean listener without the SDK around it, so that it can break the contract. What a body says, it does:
//!
//! | body | |
//! |---|---|
//! | `ok` | nothing |
//! | `later` | settles the message for delay level 1, and then as a success, which does not count |
//! | `context` | settles it as a dead letter that tells the context |
//! | `fail` | tells of a failure, and then of another, which does not count |
//! | `more`, `less` | one more or fewer in the answer |
//! | `trap` | a trap |
//! | `spin` | never ends |
//! | `leaves` | returns without an answer for its batch |
//! | `late` | a trap once all batches have ended |

#[cfg(target_arch = "wasm32")]
mod listener {
    use gantry_guest::bindings::lean;
    use gantry_guest::bindings::lean::exports::gantry::rocketmq::lean_listener::Guest;
    use gantry_guest::bindings::listener::gantry::rocketmq::delivery;
    use gantry_guest::bindings::listener::gantry::rocketmq::types::ListenerDescription;
    use gantry_guest::{ConsumeResult, Description, Listener, Message, RetryDelay};

    /// Describes itself, and consumes nothing.
    struct Described;

    impl Listener for Described {
        fn describe() -> Description {
            Description::new("bare", "bare-group").subscribe("bare", "*").batch_max_size(32)
        }

        fn consume(_: &gantry_guest::Context, _: &Message) -> Result<(), gantry_guest::Failure> {
            Ok(())
        }
    }

    struct Bare;

    impl Guest for Bare {
        fn describe() -> ListenerDescription {
            assert_eq!(delivery::context(), None, "there is no call");
            assert!(!delivery::settle(0, &ConsumeResult::Success), "there is nothing to settle");
            delivery::fail("nobody listens");
            gantry_guest::__private::describe::<Described>("1")
        }

        fn consume_batches(batches: Vec<u8>, size: u32) {
            let bodies = bodies(&batches);
            let (size, mut start) = (size as usize, 0);
            loop {
                let batch = bodies.get(start..).unwrap_or_default();
                let batch = batch.get(..size).unwrap_or(batch);
                if batch.contains(&b"leaves".as_slice()) {
                    return;
                }
                match delivery::next_batch(consume(batch)) {
                    0 => break,
                    step => start += step as usize,
                }
            }
            assert_eq!(delivery::context(), None, "there is no batch at hand any more");
            assert!(!delivery::settle(0, &ConsumeResult::Success), "there is nothing to settle");
            assert_eq!(delivery::next_batch(0), 0, "it stays so");
            if bodies.contains(&b"late".as_slice()) {
                core::arch::wasm32::unreachable();
            }
        }
    }

    /// What it answers.
    fn consume(batch: &[&[u8]]) -> u32 {
        let mut count = 0;
        for (index, body) in (0..).zip(batch) {
            count += 1;
            match *body {
                b"later" => {
                    delivery::settle(index, &ConsumeResult::ReconsumeLater(RetryDelay::Level(1)));
                    delivery::settle(index, &ConsumeResult::Success);
                }
                b"context" => {
                    let told = format!("{:?}", delivery::context().map(|context| context.topic));
                    delivery::settle(index, &ConsumeResult::DeadLetter(told));
                }
                b"fail" => ["no database", "no cache"].into_iter().for_each(delivery::fail),
                b"more" => count += 1,
                b"less" => count -= 1,
                b"trap" => core::arch::wasm32::unreachable(),
                b"spin" => loop {
                    core::hint::spin_loop();
                },
                _ => {}
            }
        }
        count
    }

    /// The bodies of messages whose hosts have 4 bytes.
    fn bodies(mut batch: &[u8]) -> Vec<&[u8]> {
        let number = |bytes: &[u8], at: usize| {
            let bytes: Option<&[u8; 4]> = bytes.get(at..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize)
        };
        let mut bodies = Vec::new();
        while let Some((message, rest)) = batch.split_at_checked(number(batch, 0).max(1)) {
            bodies.push(message.get(88..88 + number(message, 84)).unwrap_or_default());
            batch = rest;
        }
        bodies
    }

    lean::export_message_listener_lean!(Bare with_types_in lean);
}
