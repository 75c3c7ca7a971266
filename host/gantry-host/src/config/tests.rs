use super::*;

fn error(text: &str) -> String {
    GantryConfig::from_toml("gantry.toml", text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(GantryConfig::from_toml("gantry.toml", "").unwrap(), GantryConfig::default());
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let e = error("name-server = \"a:9876\"\n\n[consumer]\npul-batch-size = 3\n");
    assert!(e.starts_with("gantry.toml:4: unknown field `pul-batch-size`"), "{e}");
    assert!(e.contains("`pull-batch-size`"), "{e}");
}

#[test]
fn a_wrong_type_is_named_with_its_line_key_and_what_was_expected() {
    let e = error("[consumer]\nconsume-thread-max = \"many\"\n");
    assert!(e.starts_with("gantry.toml:2: consume-thread-max: "), "{e}");
    assert!(e.contains("expected u32"), "{e}");
}

#[test]
fn a_value_out_of_bounds_is_named_with_its_line_and_the_bounds() {
    let e = error("[group.orders]\npull-batch-size = 0\n");
    assert!(e.starts_with("gantry.toml:2: pull-batch-size: expected 1 to 1024"), "{e}");
}

#[test]
fn a_duration_may_carry_a_unit_and_a_bad_one_is_explained() {
    let config = GantryConfig::from_toml("gantry.toml", "shutdown-grace = \"2m\"").unwrap();
    assert_eq!(config.shutdown_grace, Millis(120_000));
    assert!(error("shutdown-grace = \"soon\"").contains("a duration such as"));
}

#[test]
fn an_admin_address_off_loopback_is_refused() {
    assert!(
        error("[admin]\nlisten = \"0.0.0.0:8088\"").starts_with("gantry.toml:2: listen: expected a loopback")
    );
}

#[test]
fn a_groups_settings_go_over_the_common_ones() {
    let text = "[consumer]\npull-batch-size = 16\npull-interval = 5\n[group.orders]\npull-batch-size = 8\n";
    let config = GantryConfig::from_toml("gantry.toml", text).unwrap();
    let orders = config.group_settings("orders");
    assert_eq!((orders.pull_batch_size, orders.pull_interval), (Some(8), Some(Millis(5))));
    assert_eq!(config.group_settings("other").pull_batch_size, Some(16));
}

#[test]
fn an_allocation_strategy_is_known_by_its_name() {
    for name in ["AVG", "AVG_BY_CIRCLE", "CONSISTENT_HASH", "STICKY", "MACHINE_ROOM_NEARBY-STICKY"] {
        let text = format!("[consumer]\nallocate-message-queue-strategy = \"{name}\"\n");
        let settings = GantryConfig::from_toml("gantry.toml", &text).unwrap().group_settings("orders");
        let Some(StrategySetting::BuiltIn(found)) = settings.allocate_message_queue_strategy else {
            panic!("{name} is built in")
        };
        assert_eq!(found.strategy().unwrap().name(), name);
    }
    let e = error("[group.orders]\nallocate-message-queue-strategy = \"CONFIG\"\n");
    assert!(
        e.starts_with("gantry.toml:2: allocate-message-queue-strategy: unknown strategy `CONFIG`"),
        "{e}"
    );
    assert!(e.contains("`AVG`, `AVG_BY_CIRCLE`, `CONSISTENT_HASH`, `STICKY`"), "{e}");
}

#[test]
fn an_instance_name_must_be_a_directorys_name() {
    for name in ["default", "Orders_2.a-b", "...x", &"n".repeat(64)] {
        let text = format!("instance-name = \"{name}\"");
        assert_eq!(GantryConfig::from_toml("gantry.toml", &text).unwrap().instance_name, name);
    }
    for name in ["", ".", "..", "a/b", "a b", "ä", &"n".repeat(65)] {
        let e = error(&format!("plugins = \"p\"\ninstance-name = \"{name}\""));
        assert!(e.starts_with("gantry.toml:2: instance-name: expected 1 to 64 characters"), "{e}");
    }
}

#[test]
fn each_group_has_an_offsets_file_of_its_own() {
    let text = "[group.a]\noffset-store-file = \"a.json\"\n[group.b]\noffset-store-file = \"b.json\"\n";
    let config = GantryConfig::from_toml("gantry.toml", text).unwrap();
    assert_eq!(config.group_settings("b").offset_store_file, Some("b.json".into()));
    let e = error(&text.replace("b.json", "a.json"));
    assert!(
        e.contains("offset-store-file: expected another file for each group, but a and b both name a.json")
    );
    let e = error("[consumer]\noffset-store-file = \"a.json\"\n");
    assert!(e.starts_with("gantry.toml:2: offset-store-file: expected in a [group.NAME] only"), "{e}");
    assert!(error("[group.a]\noffset-store-file = \"\"\n").contains("expected the path of a file"));
}

#[test]
fn a_plugin_s_strategy_may_have_one_that_stands_in() {
    let setting = |text: &str| {
        let text = format!("[consumer]\nallocate-message-queue-strategy = {text}\n");
        GantryConfig::from_toml("gantry.toml", &text)
            .map(|config| config.consumer.allocate_message_queue_strategy.unwrap())
    };
    let given = setting("{ plugin = \"rendezvous\", fallback = \"AVG\" }").unwrap();
    assert_eq!(given.plugin(), Some("rendezvous"));
    assert_eq!(given.fallback().unwrap().strategy().unwrap().name(), "AVG");
    let given = setting("{ plugin = \"rendezvous\" }").unwrap();
    assert_eq!((given.plugin(), given.fallback()), (Some("rendezvous"), None));
    assert!(setting("\"AVG\"").unwrap().plugin().is_none());
    let error = setting("{ plugin = \"rendezvous\", fallback = \"CONFIG\" }").unwrap_err().to_string();
    assert!(error.contains("unknown fallback `CONFIG`, expected one of `AVG`"), "{error}");
    let error = setting("{ plugin = \"\" }").unwrap_err().to_string();
    assert!(error.contains("expected the plugin's name"), "{error}");
    assert!(setting("{ plugin = \"a\", fall-back = \"AVG\" }").is_err());
}

#[test]
fn an_instance_s_end_can_be_set() {
    let engine = |text: &str| GantryConfig::from_toml("gantry.toml", &format!("[engine]\n{text}\n"));
    let given = engine("instance-memory-high-water = \"8 MiB\"\nmax-calls-per-instance = 5").unwrap().engine;
    assert_eq!((given.instance_memory_high_water.unwrap().0, given.max_calls_per_instance), (8 << 20, 5));
    let error = engine("instance-memory-high-water = \"65 MiB\"").unwrap_err().to_string();
    assert!(error.contains("expected at most memory-max"), "{error}");
    assert!(engine("max-calls-per-instance = 0").unwrap_err().to_string().contains("at least 1"));
}

#[test]
fn a_plugins_strategy_is_known_by_its_files_name() {
    let text = "[group.orders]\nallocate-message-queue-strategy = \"plugin:rendezvous\"\n";
    let settings = GantryConfig::from_toml("gantry.toml", text).unwrap().group_settings("orders");
    let named = settings.allocate_message_queue_strategy;
    assert_eq!(named, Some(StrategySetting::Plugin("rendezvous".into())));
    for nameless in ["plugin:", "MACHINE_ROOM_NEARBY-plugin:rendezvous"] {
        let e = error(&format!("[group.orders]\nallocate-message-queue-strategy = \"{nameless}\"\n"));
        assert!(e.contains(&format!("unknown strategy `{nameless}`")), "{e}");
        assert!(e.contains("`plugin:NAME`"), "{e}");
    }
}

#[test]
fn the_strategies_with_lists_come_with_them() {
    let of = |value: &str| {
        let text = format!("[group.orders]\nallocate-message-queue-strategy = {value}\n");
        GantryConfig::from_toml("gantry.toml", &text)
            .map(|config| config.group_settings("orders").allocate_message_queue_strategy.unwrap())
    };
    let namespace = gantry_protocol::Namespace::new("INST").unwrap();
    let rooms = of("{ machine-room = [\"a\", \"b\"] }").unwrap();
    assert_eq!(rooms, StrategySetting::MachineRoom(vec!["a".into(), "b".into()]));
    assert_eq!(rooms.strategy(&namespace).unwrap().name(), "MACHINE_ROOM");
    let listed = of("{ config = [{ topic = \"t\", broker-name = \"b\", queue-id = 3 }] }").unwrap();
    let own = listed.strategy(&namespace).unwrap().allocate("g", "me", &[], &[]).unwrap();
    assert_eq!(own, [gantry_protocol::MessageQueue::new("INST%t", "b", 3)]);
    for wrong in ["{ machine-room = [] }", "{ machine-room = 3 }", "{ config = [{ topic = \"t\" }] }", "5"] {
        let e = of(wrong).unwrap_err().to_string();
        assert!(
            e.starts_with("gantry.toml:2: allocate-message-queue-strategy: ") || e.contains("expected"),
            "{e}"
        );
    }
}

#[test]
fn what_a_group_that_pops_cannot_have_is_named_with_its_line_and_the_fix() {
    let beside = |line: &str| error(&format!("[group.orders]\nmode = \"pop\"\n{line}\n"));
    let e = beside("rebalance = \"cooperative\"");
    assert!(
        e.starts_with("gantry.toml:3: rebalance: expected only with mode = \"pull\": take the line"),
        "{e}"
    );
    assert!(beside("drain-timeout = \"1s\"").contains("drain-timeout: expected only with mode"));
    let e = beside("consume-mode = \"orderly\"");
    assert!(
        e.starts_with("gantry.toml:3: consume-mode: expected \"concurrently\" with mode = \"pop\""),
        "{e}"
    );
    assert!(beside("message-model = \"broadcasting\"").contains("expected \"clustering\""));
    assert!(beside("consume-from-where = \"timestamp\"").contains("expected \"first-offset\" or"));
    assert!(beside("pop-invisible-time = \"1s\"").contains("pop-invisible-time: expected 5s to 5m"));
    assert!(error("[consumer]\nmode = \"push\"\n").contains("`pull` or `pop`"));
}

#[test]
fn one_group_may_pop_where_the_others_pull() {
    let text = "[consumer]\nrebalance = \"eager\"\n[group.orders]\nmode = \"pop\"\npop-batch-nums = 8\n";
    let config = GantryConfig::from_toml("gantry.toml", text).unwrap();
    assert_eq!(config.group_settings("orders").mode, Some(RequestMode::Pop));
    assert_eq!(config.group_settings("other").mode, None);
}
