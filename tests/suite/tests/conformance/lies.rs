//! A broker that answers nonsense to some groups: they say what was answered, take nothing of it, go past nothing, and go on
//! once it is honest again; the others go on all the time.

use bytes::{Bytes, BytesMut};
use gantry_protocol::header::PullMessageResponseHeader;
use gantry_protocol::{RemotingCommand, RequestCode, ResponseCode};
use gantry_suite::{Liar, Lie, World, eventually, eventually_within, frame, that, warned};
use std::time::Duration;

gantry_suite::scenarios! {
    who_is_lied_to_believes_nothing_and_goes_on_when_the_broker_is_honest,
    a_connection_full_of_nonsense_is_made_anew,
}

const MESSAGES: usize = 20;
/// Lies that each group is told before the broker is honest: their pauses grow to 5 s.
const LIES: usize = 3;
/// A liar's last lie may be waited out for so long, on a machine that is busy.
const RECOVERY: Duration = Duration::from_secs(180);

/// A lie about the answer to this request, and what the log has to say of it.
struct Case(&'static str, RequestCode, Lie, &'static str);

const PULL: RequestCode = RequestCode::PULL_MESSAGE;
const QUERY: RequestCode = RequestCode::QUERY_CONSUMER_OFFSET;
const MEMBERS: RequestCode = RequestCode::GET_CONSUMER_LIST_BY_GROUP;

const CASES: &[Case] = &[
    Case("unknown-code", PULL, |answer| coded(answer, 31_999), "code 31999"),
    Case("negative-code", PULL, |answer| coded(answer, -1), "code -1"),
    Case("no-fields", PULL, without_fields, "suggestWhichBrokerId"),
    Case(
        "not-a-number",
        PULL,
        |mut answer| {
            answer.ext_fields.insert("nextBeginOffset", "many");
            frame(&answer)
        },
        "nextBeginOffset",
    ),
    Case(
        "nothing-for-ever",
        PULL,
        |answer| {
            changed(answer, ResponseCode::PULL_NOT_FOUND, |header| {
                (header.next_begin_offset, header.max_offset) = (i64::MAX, 0);
            })
        },
        "",
    ),
    Case(
        "none-wanted",
        PULL,
        |answer| {
            changed(answer, ResponseCode::PULL_RETRY_IMMEDIATELY, |header| {
                (header.next_begin_offset, header.max_offset) = (-5, -5);
            })
        },
        "",
    ),
    Case(
        "illegal-offset",
        PULL,
        |answer| {
            changed(answer, ResponseCode::PULL_OFFSET_MOVED, |header| {
                header.next_begin_offset = i64::MAX;
            })
        },
        "is illegal",
    ),
    Case(
        "backwards",
        PULL,
        |answer| {
            changed(answer, ResponseCode::SUCCESS, |header| {
                header.next_begin_offset = i64::MIN;
            })
        },
        "go on at -9223372036854775808",
    ),
    Case("cut-off", PULL, |answer| with_body(answer, |body| body.truncate(body.len() / 2 + 1)), "record"),
    Case("absurd-size", PULL, |answer| with_body(answer, |body| body[..4].fill(0x7F)), "2139062143 bytes"),
    Case("negative-size", PULL, |answer| with_body(answer, |body| body[..4].fill(0xFF)), "-1 bytes"),
    Case("no-magic", PULL, |answer| with_body(answer, |body| body[4..8].fill(0)), "magic"),
    Case(
        "absurd-lengths",
        PULL,
        |answer| with_body(answer, |body| body[84..88].fill(0x7F)),
        "the length of its body",
    ),
    Case(
        "absurd-offset",
        PULL,
        |answer| with_body(answer, |body| body[20..28].fill(0x7F)),
        "a message of offset",
    ),
    Case(
        "offset-nobody-has",
        QUERY,
        |mut answer| {
            answer.ext_fields.insert("offset", -7);
            answer.code = ResponseCode::SUCCESS.0;
            frame(&answer)
        },
        "offset -7",
    ),
    Case("no-offset", QUERY, without_fields, "offset"),
    Case("offset-refused", QUERY, |answer| coded(answer, 31_999), "code 31999"),
    Case("no-members", MEMBERS, |answer| with_body(answer, BytesMut::clear), "members could not be learnt"),
    Case(
        "strange-members",
        MEMBERS,
        |mut answer| {
            answer.body = Bytes::from_static(b"<html>");
            frame(&answer)
        },
        "members could not be learnt",
    ),
];

/// The topic or group a case is about.
fn about(world: &World, Case(name, code, ..): &Case) -> String {
    if *code == MEMBERS { group(world, name) } else { world.name(name) }
}

fn group(world: &World, name: &str) -> String {
    world.name(&format!("{name}-g"))
}

fn coded(mut answer: RemotingCommand, code: i32) -> Bytes {
    answer.code = code;
    frame(&answer.with_remark("so the liar says"))
}

fn without_fields(mut answer: RemotingCommand) -> Bytes {
    answer.ext_fields = Default::default();
    answer.code = ResponseCode::SUCCESS.0;
    frame(&answer)
}

fn changed(
    mut answer: RemotingCommand,
    code: ResponseCode,
    change: impl FnOnce(&mut PullMessageResponseHeader),
) -> Bytes {
    let mut header: PullMessageResponseHeader = answer.header().unwrap();
    change(&mut header);
    answer.code = code.0;
    frame(&answer.with_header(&header))
}

fn with_body(mut answer: RemotingCommand, change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut body = BytesMut::from(&answer.body[..]);
    if !body.is_empty() {
        change(&mut body);
    }
    answer.body = body.freeze();
    frame(&answer)
}

async fn who_is_lied_to_believes_nothing_and_goes_on_when_the_broker_is_honest(world: World) {
    let honest = world.topic("honest", 1).await;
    let liar = Liar::start(&world.cluster, &honest).await;
    let mut setup =
        world.host_at(&liar.name_server()).plugin("honest", &group(&world, "honest"), &[(&honest, "*")]);
    setup = setup.with_file("scripted", "honest");
    for case @ Case(name, code, lie, _) in CASES {
        let topic = world.topic(name, 1).await;
        world.cluster.send_many(&topic, MESSAGES).await;
        world.cluster.readable(&topic, MESSAGES).await;
        setup = setup.plugin(name, &group(&world, name), &[(&topic, "*")]).with_file("scripted", name);
        liar.lie(*code, &about(&world, case), *lie);
    }
    world.cluster.send_many(&honest, MESSAGES).await;
    let host = setup.threads(1).start().await;
    eventually_within(RECOVERY, "every group is lied to, and who is not has all", async || {
        for case @ Case(name, ..) in CASES {
            let told = liar.told(&about(&world, case));
            that(told >= LIES, || format!("{name} is told {told} lies"))?;
        }
        let consumed = host.observed.successes("honest").len();
        that(consumed == MESSAGES, || format!("{consumed} honest messages are consumed"))
    })
    .await;
    assert_eq!(host.observed.len(), MESSAGES, "nothing came of a lie");
    for Case(name, _, _, said) in CASES {
        let offsets = world.cluster.offsets(&group(&world, name), &world.name(name)).await;
        assert!(offsets.values().all(|offset| *offset == 0), "{name}: {offsets:?}");
        if !said.is_empty() {
            assert!(warned(&group(&world, name), said).is_some(), "{name}: the log does not say {said:?}");
        }
    }

    liar.is_honest_again();
    eventually_within(RECOVERY, "every group has its messages", async || {
        for Case(name, ..) in CASES {
            let consumed = host.observed.successes(name).len();
            that(consumed == MESSAGES, || {
                format!("{name} has {consumed}: {:?}", host.group(&group(&world, name)))
            })?;
        }
        Ok(())
    })
    .await;
    assert_eq!(host.observed.duplicates(), 0);
    for Case(name, ..) in CASES {
        world.cluster.all_committed(&group(&world, name), &world.name(name)).await;
    }
    host.stop().await;
    world.cluster.end().await;
}

/// What stands in the stream in place of an answer, and what the log has to say of it.
const STREAMS: &[(&str, Lie, &str)] = &[
    ("too-long", |_| Bytes::from_static(b"\x7F\xFF\xFF\xFF and so on"), "frame of 2147483651 bytes"),
    ("too-short", |_| Bytes::from_static(&[0; 64]), "shorter than the 4 bytes"),
    ("another-protocol", |_| Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "frame of"),
    (
        "header-too-long",
        |_| Bytes::from_static(&[0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
        "header of 65536 bytes",
    ),
    ("no-json", |_| Bytes::from_static(&[0, 0, 0, 6, 0, 0, 0, 2, b'x', b'x']), "JSON header"),
];

async fn a_connection_full_of_nonsense_is_made_anew(world: World) {
    let topic = world.topic("t", 1).await;
    let liar = Liar::start(&world.cluster, &topic).await;
    world.cluster.send_many(&topic, MESSAGES).await;
    for (name, lie, said) in STREAMS {
        let group = group(&world, name);
        let setup = world.host_at(&liar.name_server()).plugin("scripted", &group, &[(&topic, "*")]);
        liar.lie(PULL, &topic, *lie);
        let before = liar.told(&topic);
        let host = setup.with_file("scripted", "scripted").start().await;
        eventually(&format!("{name}: it is lied to"), async || {
            let told = liar.told(&topic) - before;
            that(told >= 2, || format!("{told} times"))
        })
        .await;
        eventually(&format!("{name}: the log says {said:?}"), async || {
            warned(&group, said).map(drop).ok_or_else(String::new)
        })
        .await;
        assert!(host.observed.is_empty());
        // An answer nobody asked for comes before the one that was, from now on.
        liar.lie(PULL, &topic, |answer| {
            let stray = RemotingCommand { opaque: answer.opaque.wrapping_add(1 << 20), ..answer.clone() };
            [frame(&stray), frame(&answer)].concat().into()
        });
        host.consumed(MESSAGES).await;
        assert_eq!(host.observed.duplicates(), 0);
        world.cluster.all_committed(&group, &topic).await;
        host.stop().await;
    }
    world.cluster.end().await;
}
