//! The host's side of `wasi:keyvalue`: a plugin's own store, in both drafts that toolchains know.
//!
//! The drafts differ in the type of the cursor, in the type of `increment`, and in that the later one swaps.

use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};

use super::Store;
use crate::guest::GuestState;

const DRAFT: &str = "0.2.0-draft";
const DRAFT_2: &str = "0.2.0-draft2";
/// Longest key, in bytes.
const MAX_KEY: usize = 1024;
/// Longest name of a bucket, in bytes.
const MAX_BUCKET: usize = 64;
/// Longest value, in bytes.
const MAX_VALUE: usize = 1 << 20;
/// Most keys in one call of `wasi:keyvalue/batch`.
const MAX_BATCH: usize = 1000;
/// Most bytes of values in one answer.
const MAX_ANSWER: usize = 8 << 20;
/// Keys in one answer of `list-keys`.
const PAGE: usize = 1000;

/// Why the store did not do as asked (`error`).
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub enum KeyValueError {
    /// There is no bucket of this name.
    #[component(name = "no-such-store")]
    NoSuchStore,
    /// The plugin may not.
    #[component(name = "access-denied")]
    AccessDenied,
    /// Anything else, such as a quota that is used up, in words.
    #[component(name = "other")]
    Other(String),
}

/// A value and which version of the key's it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Vec<u8>,
    /// Never the same for two values that the key had one after the other, and never 0.
    pub version: u64,
}

/// Where a list of keys goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysFrom<'a> {
    /// After this key.
    After(&'a str),
    /// After so many keys.
    Index(u64),
}

/// One change among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key has this value.
    Set(&'a str, &'a [u8]),
    /// The key is gone, if it was there.
    Delete(&'a str),
}

/// A key and its value.
type Pair = (String, Vec<u8>);

/// What a store answers.
type Answer<T> = Result<T, KeyValueError>;

/// Keeps a plugin's values by bucket and key. Names, keys and values that reach it have bounded lengths. The functions are
/// called on a guest's thread, by several at once, and may block for as long as a disk takes. They must not panic.
pub trait KeyValue: Send + Sync + 'static {
    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    fn get(&self, bucket: &str, key: &str) -> Answer<Option<Versioned>>;

    /// At most `limit` keys in their order.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    fn keys(&self, bucket: &str, from: KeysFrom<'_>, limit: usize) -> Answer<Vec<String>>;

    /// Makes all of the changes or, with an error, none.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    fn write(&self, bucket: &str, changes: &[Change<'_>]) -> Answer<()>;

    /// Adds to a number kept as decimal digits, 0 where there is none, and returns the sum; in one step.
    ///
    /// # Errors
    /// See [`KeyValueError`]; a value that is no such number, or a sum that does not fit.
    fn increment(&self, bucket: &str, key: &str, delta: i64) -> Answer<i64>;

    /// Sets the value if the key is still at `version` (0: not there); whether it was.
    ///
    /// # Errors
    /// See [`KeyValueError`].
    fn swap(&self, bucket: &str, key: &str, version: u64, value: &[u8]) -> Answer<bool>;
}

/// The resource `bucket`.
struct Bucket {
    name: String,
}

/// The resource `cas`: what a swap expects.
struct Cas {
    bucket: String,
    key: String,
    version: u64,
}

/// `cas-error`.
#[derive(ComponentType, Lower)]
#[component(variant)]
enum CasError {
    #[component(name = "store-error")]
    StoreError(KeyValueError),
    #[component(name = "cas-failed")]
    CasFailed(Resource<Cas>),
}

/// `key-response`, of either draft by its cursor.
#[derive(ComponentType, Lower)]
#[component(record)]
struct KeyResponse<C> {
    keys: Vec<String>,
    cursor: Option<C>,
}

fn other<T>(rule: String) -> Answer<T> {
    Err(KeyValueError::Other(rule))
}

fn check_key(key: &str) -> Answer<()> {
    match key.len() {
        1..=MAX_KEY => Ok(()),
        length => other(format!("a key has 1 to {MAX_KEY} bytes, this one has {length}")),
    }
}

fn check_value(value: &[u8]) -> Answer<()> {
    match value.len() {
        0..=MAX_VALUE => Ok(()),
        length => other(format!("a value has at most {MAX_VALUE} bytes, this one has {length}")),
    }
}

fn check_batch(keys: usize) -> Answer<()> {
    if keys <= MAX_BATCH { Ok(()) } else { other(format!("{keys} keys at once; {MAX_BATCH} are the most")) }
}

/// The guest's handle to a bucket, and the store behind it.
fn at<'a>(state: &'a GuestState, bucket: &Resource<Bucket>) -> wasmtime::Result<(&'a dyn KeyValue, &'a str)> {
    let bucket = state.table_ref().get(bucket)?;
    let store = state.grants.keyvalue.as_deref().ok_or_else(not_granted)?;
    Ok((store, &bucket.name))
}

/// No handle exists without the grant, so that no guest comes here.
fn not_granted() -> wasmtime::Error {
    wasmtime::Error::msg("keyvalue is not granted to this plugin")
}

fn open(state: &mut GuestState, name: String) -> wasmtime::Result<Answer<Resource<Bucket>>> {
    if state.grants.keyvalue.is_none() {
        return Ok(Err(KeyValueError::AccessDenied));
    }
    if name.len() > MAX_BUCKET {
        return Ok(Err(KeyValueError::NoSuchStore));
    }
    let name = if name.is_empty() { "default".to_owned() } else { name };
    Ok(Ok(state.table().push(Bucket { name })?))
}

fn get(store: &dyn KeyValue, bucket: &str, key: &str) -> Answer<Option<Vec<u8>>> {
    check_key(key)?;
    Ok(store.get(bucket, key)?.map(|versioned| versioned.value))
}

fn set(store: &dyn KeyValue, bucket: &str, key: &str, value: &[u8]) -> Answer<()> {
    check_key(key)?;
    check_value(value)?;
    store.write(bucket, &[Change::Set(key, value)])
}

fn increment(store: &dyn KeyValue, bucket: &str, key: &str, delta: i64) -> Answer<i64> {
    check_key(key)?;
    store.increment(bucket, key, delta)
}

/// A page of keys, and whether there may be more.
fn page(store: &dyn KeyValue, bucket: &str, from: KeysFrom<'_>) -> Answer<(Vec<String>, bool)> {
    let keys = store.keys(bucket, from, PAGE)?;
    let full = keys.len() == PAGE;
    Ok((keys, full))
}

fn get_many(store: &dyn KeyValue, bucket: &str, keys: Vec<String>) -> Answer<Vec<Option<Pair>>> {
    check_batch(keys.len())?;
    let mut left = MAX_ANSWER;
    let mut one = |key: String| {
        let value = get(store, bucket, &key)?;
        let taken = value.as_ref().map_or(0, Vec::len);
        match left.checked_sub(taken) {
            Some(rest) => left = rest,
            None => return other(format!("the values have more than {MAX_ANSWER} bytes; ask for fewer")),
        }
        Ok(value.map(|value| (key, value)))
    };
    keys.into_iter().map(&mut one).collect()
}

fn set_many(store: &dyn KeyValue, bucket: &str, pairs: &[Pair]) -> Answer<()> {
    check_batch(pairs.len())?;
    for (key, value) in pairs {
        check_key(key)?;
        check_value(value)?;
    }
    let changes: Vec<_> = pairs.iter().map(|(key, value)| Change::Set(key, value)).collect();
    store.write(bucket, &changes)
}

fn delete_many(store: &dyn KeyValue, bucket: &str, keys: &[String]) -> Answer<()> {
    check_batch(keys.len())?;
    keys.iter().try_for_each(|key| check_key(key))?;
    let changes: Vec<_> = keys.iter().map(|key| Change::Delete(key)).collect();
    store.write(bucket, &changes)
}

fn new_cas(
    state: &mut GuestState,
    bucket: &Resource<Bucket>,
    key: String,
) -> wasmtime::Result<Answer<Resource<Cas>>> {
    let (store, name) = at(state, bucket)?;
    let found = check_key(&key).and_then(|()| store.get(name, &key));
    let bucket = name.to_owned();
    match found {
        Ok(found) => {
            let version = found.map_or(0, |found| found.version);
            Ok(Ok(state.table().push(Cas { bucket, key, version })?))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// What the key has now, which is from now on what the swap expects.
fn current(state: &mut GuestState, cas: &Resource<Cas>) -> wasmtime::Result<Answer<Option<Vec<u8>>>> {
    let Cas { bucket, key, .. } = state.table_ref().get(cas)?;
    let store = state.grants.keyvalue.as_deref().ok_or_else(not_granted)?;
    match store.get(bucket, key) {
        Ok(found) => {
            let (version, value) = found.map_or((0, None), |found| (found.version, Some(found.value)));
            state.table().get_mut(cas)?.version = version;
            Ok(Ok(value))
        }
        Err(error) => Ok(Err(error)),
    }
}

fn swap(state: &mut GuestState, cas: Resource<Cas>, value: &[u8]) -> wasmtime::Result<Result<(), CasError>> {
    let Cas { bucket, key, version } = state.table().delete(cas)?;
    let store = state.grants.keyvalue.as_deref().ok_or_else(not_granted)?;
    let swapped = check_value(value).and_then(|()| store.swap(&bucket, &key, version, value));
    let now = match swapped {
        Ok(true) => return Ok(Ok(())),
        Ok(false) => store.get(&bucket, &key),
        Err(error) => Err(error),
    };
    match now {
        Ok(now) => {
            let version = now.map_or(0, |now| now.version);
            Ok(Err(CasError::CasFailed(state.table().push(Cas { bucket, key, version })?)))
        }
        Err(error) => Ok(Err(CasError::StoreError(error))),
    }
}

type Interface<'a> = LinkerInstance<'a, GuestState>;
type Handle = Resource<Bucket>;

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    for version in [DRAFT, DRAFT_2] {
        add_store(linker.instance(&format!("wasi:keyvalue/store@{version}"))?, version)?;
        add_batch(linker.instance(&format!("wasi:keyvalue/batch@{version}"))?)?;
    }
    let mut atomics = linker.instance(&format!("wasi:keyvalue/atomics@{DRAFT}"))?;
    atomics.func_wrap("increment", |store: Store<'_>, (bucket, key, delta): (Handle, String, u64)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        let delta = i64::try_from(delta).or_else(|_| other(format!("{delta} is too large")));
        let sum = delta.and_then(|delta| increment(keyvalue, bucket, &key, delta));
        Ok((sum.and_then(|sum| u64::try_from(sum).or_else(|_| other(format!("the number is {sum}")))),))
    })?;
    add_atomics_of_draft_2(linker.instance(&format!("wasi:keyvalue/atomics@{DRAFT_2}"))?)
}

fn add_store(mut interface: Interface<'_>, version: &str) -> wasmtime::Result<()> {
    interface.resource("bucket", ResourceType::host::<Bucket>(), |mut store, handle| {
        store.data_mut().table().delete(Handle::new_own(handle))?;
        Ok(())
    })?;
    interface
        .func_wrap("open", |mut store: Store<'_>, (name,): (String,)| Ok((open(store.data_mut(), name)?,)))?;
    interface.func_wrap("[method]bucket.get", |store: Store<'_>, (bucket, key): (Handle, String)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        Ok((get(keyvalue, bucket, &key),))
    })?;
    interface.func_wrap("[method]bucket.exists", |store: Store<'_>, (bucket, key): (Handle, String)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        Ok((get(keyvalue, bucket, &key).map(|value| value.is_some()),))
    })?;
    interface.func_wrap(
        "[method]bucket.set",
        |store: Store<'_>, (bucket, key, value): (Handle, String, Vec<u8>)| {
            let (keyvalue, bucket) = at(store.data(), &bucket)?;
            Ok((set(keyvalue, bucket, &key, &value),))
        },
    )?;
    interface.func_wrap("[method]bucket.delete", |store: Store<'_>, (bucket, key): (Handle, String)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        Ok((delete_many(keyvalue, bucket, &[key]),))
    })?;
    if version == DRAFT { add_keys_by_index(interface) } else { add_keys_by_name(interface) }
}

fn add_keys_by_index(mut interface: Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap(
        "[method]bucket.list-keys",
        |store: Store<'_>, (bucket, cursor): (Handle, Option<u64>)| {
            let (keyvalue, bucket) = at(store.data(), &bucket)?;
            let from = cursor.unwrap_or(0);
            let listed = page(keyvalue, bucket, KeysFrom::Index(from)).map(|(keys, more)| {
                let cursor = more.then(|| from.saturating_add(PAGE as u64));
                KeyResponse { keys, cursor }
            });
            Ok((listed,))
        },
    )
}

fn add_keys_by_name(mut interface: Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap(
        "[method]bucket.list-keys",
        |store: Store<'_>, (bucket, cursor): (Handle, Option<String>)| {
            let (keyvalue, bucket) = at(store.data(), &bucket)?;
            let from = cursor.as_deref().map_or(KeysFrom::Index(0), KeysFrom::After);
            let listed = page(keyvalue, bucket, from).map(|(keys, more)| {
                let cursor = keys.last().filter(|_| more).cloned();
                KeyResponse { keys, cursor }
            });
            Ok((listed,))
        },
    )
}

fn add_batch(mut interface: Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap("get-many", |store: Store<'_>, (bucket, keys): (Handle, Vec<String>)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        Ok((get_many(keyvalue, bucket, keys),))
    })?;
    interface.func_wrap("set-many", |store: Store<'_>, (bucket, pairs): (Handle, Vec<Pair>)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        Ok((set_many(keyvalue, bucket, &pairs),))
    })?;
    interface.func_wrap("delete-many", |store: Store<'_>, (bucket, keys): (Handle, Vec<String>)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        Ok((delete_many(keyvalue, bucket, &keys),))
    })
}

fn add_atomics_of_draft_2(mut interface: Interface<'_>) -> wasmtime::Result<()> {
    interface.resource("cas", ResourceType::host::<Cas>(), |mut store, handle| {
        store.data_mut().table().delete(Resource::<Cas>::new_own(handle))?;
        Ok(())
    })?;
    interface.func_wrap("[static]cas.new", |mut store: Store<'_>, (bucket, key): (Handle, String)| {
        Ok((new_cas(store.data_mut(), &bucket, key)?,))
    })?;
    interface.func_wrap("[method]cas.current", |mut store: Store<'_>, (cas,): (Resource<Cas>,)| {
        Ok((current(store.data_mut(), &cas)?,))
    })?;
    interface.func_wrap("increment", |store: Store<'_>, (bucket, key, delta): (Handle, String, i64)| {
        let (keyvalue, bucket) = at(store.data(), &bucket)?;
        Ok((increment(keyvalue, bucket, &key, delta),))
    })?;
    interface.func_wrap("swap", |mut store: Store<'_>, (cas, value): (Resource<Cas>, Vec<u8>)| {
        Ok((swap(store.data_mut(), cas, &value)?,))
    })
}
