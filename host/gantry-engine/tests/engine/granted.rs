//! The services a plugin may be granted: each works with its grant, and is refused without it by the line that is missing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use gantry_engine::{
    Change, ConsumeResult, DeliveryTime, FailureKind, Grants, KeyValue, KeyValueError, KeysFrom,
    ListenerModule, LoadError, MessageQueueSelector, Metrics, OutgoingMessage, PluginLog, Producer,
    SendError, SendReceipt, SendStatus, Versioned,
};

use crate::{
    common::{PATIENCE, SHORT, component, consume, engine},
    text::Text,
};

/// Keeps what it is sent, or waits for an answer that never comes.
#[derive(Default)]
struct Broker {
    sent: Mutex<Vec<(OutgoingMessage, String)>>,
    never_answers: bool,
}

impl Broker {
    fn take(&self, message: OutgoingMessage, how: &str, deadline: Instant) -> Result<SendReceipt, SendError> {
        if self.never_answers {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            return Err(SendError::Timeout);
        }
        if message.topic == "absent" {
            return Err(SendError::NoRoute("topic absent does not exist".into()));
        }
        let mut sent = self.sent.lock().unwrap();
        sent.push((message, how.to_owned()));
        Ok(SendReceipt {
            send_status: SendStatus::SendOk,
            message_id: format!("id-{}", sent.len()),
            offset_message_id: String::new(),
            broker_name: "broker-a".into(),
            queue_id: 3,
            queue_offset: 7,
        })
    }
}

impl Producer for Broker {
    fn send(&self, message: OutgoingMessage, deadline: Instant) -> Result<SendReceipt, SendError> {
        self.take(message, "sent", deadline)
    }

    fn send_one_way(&self, message: OutgoingMessage, deadline: Instant) -> Result<(), SendError> {
        self.take(message, "one-way", deadline).map(drop)
    }

    fn send_ordered(
        &self,
        message: OutgoingMessage,
        selector: MessageQueueSelector,
        arg: &str,
        deadline: Instant,
    ) -> Result<SendReceipt, SendError> {
        self.take(message, &format!("{selector:?} {arg}"), deadline)
    }
}

/// A store in memory, without a quota.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Versioned>>);

impl KeyValue for Memory {
    fn get(&self, bucket: &str, key: &str) -> Result<Option<Versioned>, KeyValueError> {
        assert_eq!(bucket, "default");
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn keys(&self, _: &str, from: KeysFrom<'_>, limit: usize) -> Result<Vec<String>, KeyValueError> {
        let pairs = self.0.lock().unwrap();
        let keys = pairs.keys().filter(|key| match from {
            KeysFrom::After(last) => key.as_str() > last,
            KeysFrom::Index(_) => true,
        });
        Ok(keys.take(limit).cloned().collect())
    }

    fn write(&self, _: &str, changes: &[Change<'_>]) -> Result<(), KeyValueError> {
        let mut pairs = self.0.lock().unwrap();
        for change in changes {
            match *change {
                Change::Set("full", _) => return Err(KeyValueError::Other("the quota is used up".into())),
                Change::Set(key, value) => {
                    let version = pairs.get(key).map_or(1, |before| before.version + 1);
                    pairs.insert(key.into(), Versioned { value: value.into(), version });
                }
                Change::Delete(key) => drop(pairs.remove(key)),
            }
        }
        Ok(())
    }

    fn increment(&self, bucket: &str, key: &str, delta: i64) -> Result<i64, KeyValueError> {
        let before = self
            .get(bucket, key)?
            .map_or(0, |found| String::from_utf8(found.value).unwrap().parse().unwrap());
        self.write(bucket, &[Change::Set(key, (before + delta).to_string().as_bytes())])?;
        Ok(before + delta)
    }

    fn swap(&self, bucket: &str, key: &str, version: u64, value: &[u8]) -> Result<bool, KeyValueError> {
        let now = self.get(bucket, key)?.map_or(0, |found| found.version);
        if now == version {
            self.write(bucket, &[Change::Set(key, value)])?;
        }
        Ok(now == version)
    }
}

/// Writes down what it is told.
#[derive(Default)]
struct Figures(Mutex<Vec<String>>);

impl Figures {
    fn note(&self, what: String) -> Result<(), String> {
        self.0.lock().unwrap().push(what);
        Ok(())
    }
}

impl Metrics for Figures {
    fn counter_add(&self, name: &str, labels: &[(String, String)], value: u64) -> Result<(), String> {
        self.note(format!("{name} {labels:?} +{value}"))
    }

    fn gauge_set(&self, name: &str, _: &[(String, String)], value: f64) -> Result<(), String> {
        self.note(format!("{name} = {value}"))
    }

    fn histogram_observe(&self, name: &str, _: &[(String, String)], value: f64) -> Result<(), String> {
        self.note(format!("{name} saw {value}"))
    }

    fn refused(&self) {
        let _noted = self.note("refused".into());
    }
}

/// Everything, with nothing behind it, but for what `set` puts there.
fn granted(set: impl FnOnce(&mut Grants)) -> ListenerModule {
    let mut grants = Grants::from_names(&["producer", "keyvalue", "logging", "metrics", "config"]).unwrap();
    set(&mut grants);
    engine().load(&component("uses-grants"), &grants).unwrap()
}

/// What came of each script, one message a call.
pub(crate) fn told(module: &ListenerModule, scripts: &[&str]) -> Vec<String> {
    let one = |script: &&str| {
        let report = consume(module, &[*script], PATIENCE);
        match report.outcomes.into_iter().next().unwrap().result {
            ConsumeResult::DeadLetter(reason) => reason,
            other => panic!("{script}: {other:?}"),
        }
    };
    scripts.iter().map(one).collect()
}

#[test]
pub(crate) fn every_service_answers_where_it_is_granted() {
    let module = granted(|grants| grants.config = Some(Arc::new(BTreeMap::from([("a".into(), "b".into())]))));
    assert_eq!(told(&module, &["config:a", "log:hello"]), ["b", "logged"]);
}

#[test]
fn messages_are_sent_and_errors_are_values() {
    let broker = Arc::new(Broker::default());
    let module = granted(|grants| grants.producer = Some(Arc::clone(&broker) as _));
    let scripts =
        ["send:out=hello", "one-way:out=x", "later:out 2500=x", "ordered:out A-17=x", "plugin:out A=x"];
    assert_eq!(told(&module, &scripts), ["id-1", "handed on", "id-3", "3", "3"]);
    let error = &told(&module, &["send:absent=x"])[0];
    assert_eq!(error, "not sent, for there is nowhere to send it: topic absent does not exist");

    let sent = broker.sent.lock().unwrap();
    let (first, _) = &sent[0];
    let expected = OutgoingMessage {
        topic: "out".into(),
        tags: Some("sent".into()),
        keys: vec!["k1".into()],
        body: b"hello".to_vec(),
        properties: vec![("by".into(), "uses-grants".into())],
        delivery_time: DeliveryTime::AtOnce,
    };
    assert_eq!(*first, expected);
    assert_eq!(sent[2].0.delivery_time, DeliveryTime::Milliseconds(2500));
    let how: Vec<_> = sent.iter().map(|(_, how)| how.as_str()).collect();
    assert_eq!(how, ["sent", "one-way", "sent", "ByHash A-17", "Plugin(\"nearest\") A"]);
}

#[test]
fn the_store_answers_in_every_way_of_the_interface() {
    let module = granted(|grants| grants.keyvalue = Some(Arc::new(Memory::default())));
    let scripts =
        ["get:a", "set:a=1", "get:a", "add:a=41", "add:b=-2", "keys:", "delete:b", "get:b", "many:1000"];
    assert_eq!(
        told(&module, &scripts),
        ["absent", "set", "1", "42", "-2", "a b", "deleted", "absent", "1000 found"]
    );
    let scripts = ["swap:a=42>x", "swap:a=42>y", "get:a", "swap:new=>first", "add:n=5", "stale:n=9", "get:n"];
    assert_eq!(told(&module, &scripts), ["swapped", "x", "x", "swapped", "5", "it is 6 now", "6"]);
    let long = format!("set:{}=x", "k".repeat(1025));
    let told = told(&module, &["set:full=x", &long, "set:=x", "many:1001"]);
    assert_eq!(told[0], "the quota is used up");
    assert!(
        told[1].contains("1025") && told[2].contains("1 to 1024") && told[3].contains("1001 keys"),
        "{told:?}"
    );
}

#[test]
fn configuration_is_read_by_key() {
    let values =
        BTreeMap::from([("limit".to_owned(), "5".to_owned()), ("target".to_owned(), "out".to_owned())]);
    let module = granted(|grants| grants.config = Some(Arc::new(values)));
    assert_eq!(
        told(&module, &["config:target", "config:other", "config:*"]),
        ["out", "not set", "limit target"]
    );
}

#[test]
fn figures_reach_the_host_and_unsound_ones_do_not() {
    let figures = Arc::new(Figures::default());
    let module = granted(|grants| grants.metrics = Some(Arc::clone(&figures) as _));
    let told = told(&module, &["count:seen=2", "gauge:open=-1.5", "observe:seconds=0.2", "count:a-b=1"]);
    assert_eq!(told[..3], ["ok", "ok", "ok"]);
    assert!(told[3].contains("`a-b`; it must be 1 to 64"), "{told:?}");
    let noted = figures.0.lock().unwrap();
    assert_eq!(*noted, ["seen [(\"kind\", \"test\")] +2", "open = -1.5", "seconds saw 0.2", "refused"]);
}

#[test]
fn what_is_not_granted_is_refused_with_the_whole_line_to_add() {
    let error =
        engine().load(&component("uses-grants"), &Grants::from_names(&["clocks", "logging"]).unwrap());
    let error = error.unwrap_err();
    let LoadError::UngrantedImport(refused) = &error else { panic!("{error}") };
    let imports: Vec<_> = refused.iter().map(|import| import.import.as_str()).collect();
    for import in [
        "gantry:rocketmq/producer@0.1.0",
        "gantry:rocketmq/metrics@0.1.0",
        "wasi:config/store@0.2.0-rc.1",
        "wasi:keyvalue/store@0.2.0-draft2",
        "wasi:keyvalue/atomics@0.2.0-draft2",
        "wasi:keyvalue/batch@0.2.0-draft2",
    ] {
        assert!(imports.contains(&import), "{import} is not in {imports:?}");
    }
    assert!(!imports.iter().any(|import| import.starts_with("wasi:logging")), "it is granted: {imports:?}");
    let text = error.to_string();
    let line = r#"grants = ["clocks", "producer", "keyvalue", "logging", "metrics"] under [plugin.NAME]"#;
    assert!(text.contains(line) && text.contains("[plugin.NAME.config]"), "{text}");
}

#[test]
fn a_plugin_that_calls_nothing_imports_nothing() {
    for plugin in ["minimal", "orders", "scripted"] {
        assert!(engine().load(&component(plugin), &Grants::NONE).is_ok(), "{plugin}");
        let text = String::from_utf8_lossy(&component(plugin)).into_owned();
        assert!(!text.contains("wasi:keyvalue"), "{plugin}");
    }
}

#[test]
fn a_producer_that_never_answers_ends_with_the_call() {
    let broker = Arc::new(Broker { never_answers: true, ..Broker::default() });
    let module = granted(|grants| grants.producer = Some(broker));
    let began = Instant::now();
    let report = consume(&module, &["send:out=x"], SHORT);
    // The answer comes at the deadline itself: the guest is told, or stopped on its way to tell.
    let outcome = &report.outcomes[0];
    let late = report.batch_failure.as_ref().map(|failure| failure.kind()) == Some(FailureKind::Deadline);
    let told =
        matches!(&outcome.result, ConsumeResult::DeadLetter(why) if why.contains("did not answer in time"));
    assert!(late || told, "{report:?}");
    assert!(began.elapsed() >= SHORT && began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_flood_of_lines_is_cut_and_counted() {
    let log = Arc::new(PluginLog::new("uses-grants", 10));
    let module = granted(|grants| grants.logging = Some(Arc::clone(&log)));
    let began = Instant::now();
    assert_eq!(told(&module, &["log:the rates are old", "flood:5000"]), ["logged", "logged"]);
    // Ten in the first second, ten in each that began since.
    let seconds = began.elapsed().as_secs() + 2;
    assert!(log.dropped() >= 5001 - 10 * seconds, "{} after {seconds} s", log.dropped());
    assert!(log.dropped() < 5001);
}

#[test]
fn without_effects_everything_is_read_and_nothing_changed() {
    let (broker, store, figures) =
        (Arc::new(Broker::default()), Arc::new(Memory::default()), Arc::new(Figures::default()));
    store.write("default", &[Change::Set("n", b"41")]).unwrap();
    let mut grants = Grants::from_names(&["logging", "config"]).unwrap();
    grants.producer = Some(Arc::clone(&broker) as _);
    grants.keyvalue = Some(Arc::clone(&store) as _);
    grants.metrics = Some(Arc::clone(&figures) as _);
    let shadow = grants.without_effects();
    let module = engine().load(&component("uses-grants"), &shadow).unwrap();
    let scripts = [
        "send:out=x",
        "one-way:out=x",
        "ordered:out a=x",
        "set:k=v",
        "get:k",
        "add:n=1",
        "get:n",
        "swap:n=41>x",
        "count:seen=1",
        "log:hello",
    ];
    let answers = ["NOT-SENT", "handed on", "0", "set", "absent", "42", "41", "swapped", "ok", "logged"];
    assert_eq!(told(&module, &scripts), answers);
    assert!(broker.sent.lock().unwrap().is_empty() && figures.0.lock().unwrap().is_empty());
    assert_eq!(store.0.lock().unwrap().len(), 1);
    let suppressed = shadow.suppressed.as_ref().unwrap();
    assert_eq!((suppressed.sends(), suppressed.writes(), suppressed.figures()), (3, 3, 1));
    assert!(grants.suppressed.is_none());
}

#[test]
fn services_with_nothing_behind_them_answer_with_errors() {
    let module = granted(|_| ());
    for told in told(&module, &["send:out=x", "get:k", "count:seen=1"]) {
        assert!(told.contains("only being checked"), "{told}");
    }
}

/// Every function of the interfaces' older versions.
const OLDER: Text = Text {
    imports: r#"
      (import "wasi:logging/logging" (instance
        (type $level-type (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $level-type)))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
      (import "wasi:config/store@0.2.0-draft" (instance
        (type $error-type (variant (case "upstream" string) (case "io" string)))
        (export "error" (type $error (eq $error-type)))
        (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
        (export "get-all" (func (result (result (list (tuple string string)) (error $error)))))))
      (import "wasi:keyvalue/store@0.2.0-draft" (instance $store
        (type $error-type (variant (case "no-such-store") (case "access-denied") (case "other" string)))
        (export "error" (type $error (eq $error-type)))
        (type $response-type (record (field "keys" (list string)) (field "cursor" (option u64))))
        (export "key-response" (type $response (eq $response-type)))
        (export "bucket" (type $bucket (sub resource)))
        (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
        (export "[method]bucket.get" (func (param "self" (borrow $bucket)) (param "key" string)
          (result (result (option (list u8)) (error $error)))))
        (export "[method]bucket.set" (func (param "self" (borrow $bucket)) (param "key" string)
          (param "value" (list u8)) (result (result (error $error)))))
        (export "[method]bucket.delete" (func (param "self" (borrow $bucket)) (param "key" string)
          (result (result (error $error)))))
        (export "[method]bucket.exists" (func (param "self" (borrow $bucket)) (param "key" string)
          (result (result bool (error $error)))))
        (export "[method]bucket.list-keys" (func (param "self" (borrow $bucket)) (param "cursor" (option u64))
          (result (result $response (error $error)))))))
      (alias export $store "error" (type $kv-error))
      (alias export $store "bucket" (type $kv-bucket))
      (import "wasi:keyvalue/atomics@0.2.0-draft" (instance
        (alias outer 1 $kv-error (type $outer-error))
        (export "error" (type $error (eq $outer-error)))
        (alias outer 1 $kv-bucket (type $outer-bucket))
        (export "bucket" (type $bucket (eq $outer-bucket)))
        (export "increment" (func (param "bucket" (borrow $bucket)) (param "key" string) (param "delta" u64)
          (result (result u64 (error $error)))))))
      (import "wasi:keyvalue/batch@0.2.0-draft" (instance
        (alias outer 1 $kv-error (type $outer-error))
        (export "error" (type $error (eq $outer-error)))
        (alias outer 1 $kv-bucket (type $outer-bucket))
        (export "bucket" (type $bucket (eq $outer-bucket)))
        (export "get-many" (func (param "bucket" (borrow $bucket)) (param "keys" (list string))
          (result (result (list (option (tuple string (list u8)))) (error $error)))))
        (export "set-many" (func (param "bucket" (borrow $bucket))
          (param "key-values" (list (tuple string (list u8)))) (result (result (error $error)))))
        (export "delete-many" (func (param "bucket" (borrow $bucket)) (param "keys" (list string))
          (result (result (error $error)))))))"#,
    core_imports: "",
    with: "",
    consume: "",
    describe: "",
    pages: 0,
    core: "",
    replace: &[],
};

#[test]
fn the_older_versions_of_the_interfaces_are_offered_too() {
    let file = OLDER.build();
    let grants = Grants::from_names(&["logging", "config", "keyvalue"]).unwrap();
    assert_eq!(engine().load(&file, &grants).unwrap().description().name, "textual");
    let error = engine().load(&file, &Grants::NONE).unwrap_err();
    let LoadError::UngrantedImport(refused) = &error else { panic!("{error}") };
    assert_eq!(refused.len(), 5, "{error}");
}
