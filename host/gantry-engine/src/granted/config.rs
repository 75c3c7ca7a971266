//! The host's side of `wasi:config/store`: the values of `[plugin.NAME.config]`.

use std::collections::BTreeMap;

use wasmtime::component::{ComponentType, Linker, Lower};

use super::Store;
use crate::guest::GuestState;

/// The versions there are, alike to the letter.
const VERSIONS: [&str; 2] = ["wasi:config/store@0.2.0-rc.1", "wasi:config/store@0.2.0-draft"];

/// What the interface lets a read fail with; reading here cannot fail.
#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the interface's type")]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

fn values(state: &GuestState) -> &BTreeMap<String, String> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    state.grants.config.as_deref().unwrap_or(&NONE)
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for version in VERSIONS {
        let mut interface = linker.instance(version)?;
        interface.func_wrap("get", |store: Store<'_>, (key,): (String,)| {
            Ok((Ok::<_, Error>(values(store.data()).get(&key).cloned()),))
        })?;
        interface.func_wrap("get-all", |store: Store<'_>, (): ()| {
            let all = values(store.data()).iter().map(|(key, value)| (key.clone(), value.clone()));
            Ok((Ok::<_, Error>(all.collect::<Vec<_>>()),))
        })?;
    }
    Ok(())
}
