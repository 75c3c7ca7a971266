//! A listener written as text, for what no compiler would emit.

/// What of the listener differs from one that answers every batch with an error saying "text".
#[derive(Default)]
pub(crate) struct Text {
    /// Component-level items before the core module: imports, lowered functions.
    pub(crate) imports: &'static str,
    /// Core imports, as `(import ...)` of the core module.
    pub(crate) core_imports: &'static str,
    /// What the core module is instantiated with, as `(with ...)`.
    pub(crate) with: &'static str,
    /// First instructions of `consume-message`.
    pub(crate) consume: &'static str,
    /// First instructions of `describe`.
    pub(crate) describe: &'static str,
    /// Pages of memory; 0 stands for 1.
    pub(crate) pages: u32,
    /// More fields of the core module, such as a start function.
    pub(crate) core: &'static str,
    /// Replacements in the whole text.
    pub(crate) replace: &'static [(&'static str, &'static str)],
}

impl Text {
    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut text = TEMPLATE
            .replace("{imports}", self.imports)
            .replace("{core-imports}", self.core_imports)
            .replace("{with}", self.with)
            .replace("{consume}", self.consume)
            .replace("{describe}", self.describe)
            .replace("{core}", self.core)
            .replace("{pages}", &self.pages.max(1).to_string());
        for (from, to) in self.replace {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// No difference at all.
pub(crate) const NOTHING: Text = Text {
    imports: "",
    core_imports: "",
    with: "",
    consume: "",
    describe: "",
    pages: 0,
    core: "",
    replace: &[],
};

/// The canonical ABI by hand: `describe` points at a record laid out as data, `consume-message` at an `err`.
const TEMPLATE: &str = r#"
(component
  {imports}
  (core module $m
    {core-imports}
    (memory (export "memory") {pages})
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (data (i32.const 16) "textual")
    (data (i32.const 32) "1.0")
    (data (i32.const 48) "text-group")
    (data (i32.const 64) "text-topic")
    (data (i32.const 80) "*")
    (data (i32.const 96) "text")
    ;; one subscription: topic, tag expression
    (data (i32.const 128) "\40\00\00\00\0a\00\00\00" "\00\00\00\00\50\00\00\00\01\00\00\00")
    ;; the description: name, version, group, subscriptions, clustering, concurrently, last-offset, none, none, none
    (data (i32.const 256) "\10\00\00\00\07\00\00\00" "\20\00\00\00\03\00\00\00" "\30\00\00\00\0a\00\00\00"
      "\80\00\00\00\01\00\00\00" "\00\00")
    ;; the answer: err "text"
    (data (i32.const 512) "\01\00\00\00" "\60\00\00\00\04\00\00\00")
    (func (export "describe") (result i32) {describe} (i32.const 256))
    (func (export "consume") (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
      (global.set $next (i32.const 4096))
      {consume}
      (i32.const 512))
    {core}
  )
  (core instance $i (instantiate $m {with}))
  (type $message-model-type (enum "clustering" "broadcasting"))
  (export $message-model "message-model" (type $message-model-type))
  (type $consume-mode-type (enum "concurrently" "orderly"))
  (export $consume-mode "consume-mode" (type $consume-mode-type))
  (type $from-type (variant (case "last-offset") (case "first-offset") (case "timestamp" u64)))
  (export $from "consume-from-where" (type $from-type))
  (type $filter-type (variant (case "tag" string) (case "sql92" string)))
  (export $filter "filter-expression" (type $filter-type))
  (type $subscription-type (record (field "topic" string) (field "expression" $filter)))
  (export $subscription "subscription" (type $subscription-type))
  (type $description-type (record
    (field "name" string)
    (field "version" string)
    (field "consumer-group" string)
    (field "subscriptions" (list $subscription))
    (field "message-model" $message-model)
    (field "consume-mode" $consume-mode)
    (field "consume-from-where" $from)
    (field "consume-message-batch-max-size" (option u32))
    (field "max-reconsume-times" (option u32))
    (field "consume-timeout" (option u64))))
  (export $description "listener-description" (type $description-type))
  (type $context-type (record
    (field "consumer-group" string)
    (field "topic" string)
    (field "broker-name" string)
    (field "queue-id" u32)))
  (export $context "consume-context" (type $context-type))
  (type $message-type (record
    (field "message-id" string)
    (field "tags" (option string))
    (field "keys" string)
    (field "reconsume-times" u32)
    (field "queue-offset" u64)
    (field "born-timestamp" u64)
    (field "store-timestamp" u64)
    (field "body" (list u8))
    (field "user-properties" (list (tuple string string)))))
  (export $message "message" (type $message-type))
  (type $delay-type (variant (case "by-attempts") (case "level" u8) (case "milliseconds" u64)))
  (export $delay "retry-delay" (type $delay-type))
  (type $result-type (variant (case "success") (case "reconsume-later" $delay) (case "dead-letter" string)))
  (export $result "consume-result" (type $result-type))
  (func $describe (result $description)
    (canon lift (core func $i "describe") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (func $consume
    (param "context" $context) (param "batch" (list $message)) (result (result (list $result) (error string)))
    (canon lift (core func $i "consume") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $listener
    (export "describe" (func $describe))
    (export "consume-message" (func $consume)))
  (export "gantry:rocketmq/listener@0.1.0" (instance $listener))
)
"#;
