//! What the operator configures of a plugin: the values of `[plugin.NAME.config]` in `gantry.toml`, which is the grant.
//!
//! ```
//! use gantry_guest::config;
//!
//! config::testing::set("target", "orders-enriched");
//! assert_eq!(config::get("target").as_deref(), Some("orders-enriched"));
//! assert_eq!(config::get("limit"), None);
//! ```

#[cfg(target_arch = "wasm32")]
use crate::bindings::config::wasi::config::store;

/// The value of this key; none where the operator gave none.
#[cfg(target_arch = "wasm32")]
pub fn get(key: &str) -> Option<String> {
    // The host has every value at hand: reading fails nowhere.
    store::get(key).ok().flatten()
}

/// Every key with its value, sorted by key.
#[cfg(target_arch = "wasm32")]
pub fn all() -> Vec<(String, String)> {
    store::get_all().unwrap_or_default()
}

/// The value of this key; none where the test gave none.
#[cfg(not(target_arch = "wasm32"))]
pub fn get(key: &str) -> Option<String> {
    testing::VALUES.with_borrow(|values| values.get(key).cloned())
}

/// Every key with its value, sorted by key.
#[cfg(not(target_arch = "wasm32"))]
pub fn all() -> Vec<(String, String)> {
    testing::VALUES.with_borrow(|values| values.clone().into_iter().collect())
}

/// The configuration in a plugin's own unit tests: each thread, and so each test, has its own.
#[cfg(not(target_arch = "wasm32"))]
pub mod testing {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        pub(super) static VALUES: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Gives a key a value, as the operator would.
    pub fn set(key: impl Into<String>, value: impl Into<String>) {
        VALUES.with_borrow_mut(|values| values.insert(key.into(), value.into()));
    }
}
