//! A store of the plugin's own, on the host's disk. Granted by `"keyvalue"` in the plugin's `grants`.
//!
//! It belongs to the plugin's file name: another version finds it as it was, and so does the next run of the host. All
//! instances share it, at the same time: count with [`Bucket::increment`], and change what was read with [`Swap`]. Keys have
//! up to 1,024 bytes, values up to 1 MiB, and all together no more than the operator's quota.
//!
//! ```
//! use gantry_guest::keyvalue::Bucket;
//!
//! let counts = Bucket::open("counts")?;
//! counts.increment("EUR", 1)?;
//! assert_eq!(counts.increment("EUR", 2)?, 3);
//! assert_eq!(counts.get("EUR")?.as_deref(), Some("3".as_bytes()));
//! # Ok::<(), gantry_guest::keyvalue::Error>(())
//! ```

use std::fmt;

#[cfg(not(target_arch = "wasm32"))]
use self::memory as store;
#[cfg(target_arch = "wasm32")]
use crate::bindings::keyvalue::wasi::keyvalue as store;
use store::{atomics, batch, store as buckets};

/// Why the store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no such bucket: its name is longer than 64 bytes.
    NoSuchStore,
    /// The plugin may not.
    AccessDenied,
    /// Anything else: the rule that was broken, such as the quota, or what went wrong.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStore => f.write_str("there is no such bucket"),
            Self::AccessDenied => f.write_str("the store may not be used"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl From<buckets::Error> for Error {
    fn from(error: buckets::Error) -> Self {
        match error {
            buckets::Error::NoSuchStore => Self::NoSuchStore,
            buckets::Error::AccessDenied => Self::AccessDenied,
            buckets::Error::Other(why) => Self::Other(why),
        }
    }
}

type Result<T> = std::result::Result<T, Error>;

/// A part of the store with keys of its own.
#[derive(Debug)]
pub struct Bucket(buckets::Bucket);

impl Bucket {
    /// The bucket of this name, which need not have been made before; `""` is the bucket `default`.
    ///
    /// # Errors
    /// A name of more than 64 bytes.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self(buckets::open(name)?))
    }

    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key)?)
    }

    /// Sets the value of a key. It is kept when the call returns.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set(&self, key: &str, value: &[u8]) -> Result<()> {
        Ok(self.0.set(key, value)?)
    }

    /// Removes a key, if it is there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete(&self, key: &str) -> Result<()> {
        Ok(self.0.delete(key)?)
    }

    /// Whether a key is there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.0.exists(key)?)
    }

    /// Every key, in order. Asks the host once for each thousand.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn keys(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.0.list_keys(cursor.as_deref())?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Adds to a number kept as decimal digits, 0 where the key is not there, and returns the sum; in one step, whatever other
    /// instances do.
    ///
    /// # Errors
    /// See [`Error`]; a value that is no such number, or a sum that does not fit.
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        Ok(atomics::increment(&self.0, key, delta)?)
    }

    /// The values of up to 1,000 keys, in their order.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>> {
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        let found = batch::get_many(&self.0, &keys)?;
        Ok(found.into_iter().map(|pair| pair.map(|(_, value)| value)).collect())
    }

    /// Sets up to 1,000 keys: all or, with an error, none.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set_many(&self, pairs: &[(&str, &[u8])]) -> Result<()> {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
        Ok(batch::set_many(&self.0, &pairs)?)
    }

    /// Removes up to 1,000 keys.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_many(&self, keys: &[&str]) -> Result<()> {
        let keys: Vec<_> = keys.iter().map(|key| (*key).to_owned()).collect();
        Ok(batch::delete_many(&self.0, &keys)?)
    }
}

/// A change of a value that was read, unless somebody else changes it first (compare and swap).
#[derive(Debug)]
pub struct Swap(atomics::Cas);

impl Swap {
    /// Looks at what the key has now.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin(bucket: &Bucket, key: &str) -> Result<Self> {
        Ok(Self(atomics::Cas::new(&bucket.0, key)?))
    }

    /// What the key has now, which is what [`Swap::set`] replaces.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn current(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.0.current()?)
    }

    /// Sets the value if the key is as it was looked at; otherwise the swap to try again with.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set(self, value: &[u8]) -> Result<Option<Self>> {
        match atomics::swap(self.0, value) {
            Ok(()) => Ok(None),
            Err(atomics::CasError::CasFailed(again)) => Ok(Some(Self(again))),
            Err(atomics::CasError::StoreError(error)) => Err(error.into()),
        }
    }
}

/// The store in a plugin's own unit tests, in memory: each thread, and so each test, has its own, empty at first.
#[cfg(not(target_arch = "wasm32"))]
mod memory {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// Values and their versions by bucket and key.
    type Pairs = BTreeMap<(String, String), (Vec<u8>, u64)>;

    thread_local! {
        static PAIRS: RefCell<Pairs> = const { RefCell::new(BTreeMap::new()) };
        static VERSION: RefCell<u64> = const { RefCell::new(0) };
    }

    fn find(bucket: &str, key: &str) -> Option<(Vec<u8>, u64)> {
        PAIRS.with_borrow(|pairs| pairs.get(&(bucket.to_owned(), key.to_owned())).cloned())
    }

    fn put(bucket: &str, key: &str, value: Option<&[u8]>) {
        let version = VERSION.with_borrow_mut(|version| {
            *version += 1;
            *version
        });
        let place = (bucket.to_owned(), key.to_owned());
        PAIRS.with_borrow_mut(|pairs| match value {
            Some(value) => _ = pairs.insert(place, (value.to_vec(), version)),
            None => _ = pairs.remove(&place),
        });
    }

    pub(super) mod store {
        use super::{PAIRS, find, put};

        #[derive(Debug)]
        #[allow(dead_code, reason = "the interface's errors, of which a store in memory has none")]
        pub(in super::super) enum Error {
            NoSuchStore,
            AccessDenied,
            Other(String),
        }

        pub(in super::super) struct KeyResponse {
            pub(in super::super) keys: Vec<String>,
            pub(in super::super) cursor: Option<String>,
        }

        #[derive(Debug)]
        pub(in super::super) struct Bucket(pub(super) String);

        pub(in super::super) fn open(name: &str) -> Result<Bucket, Error> {
            if name.len() > 64 { Err(Error::NoSuchStore) } else { Ok(Bucket(name.to_owned())) }
        }

        impl Bucket {
            pub(in super::super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
                Ok(find(&self.0, key).map(|(value, _)| value))
            }

            pub(in super::super) fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
                put(&self.0, key, Some(value));
                Ok(())
            }

            pub(in super::super) fn delete(&self, key: &str) -> Result<(), Error> {
                put(&self.0, key, None);
                Ok(())
            }

            pub(in super::super) fn exists(&self, key: &str) -> Result<bool, Error> {
                Ok(find(&self.0, key).is_some())
            }

            pub(in super::super) fn list_keys(&self, _: Option<&str>) -> Result<KeyResponse, Error> {
                let own = |pairs: &std::collections::BTreeMap<(String, String), _>| {
                    let keys = pairs.keys().filter(|(bucket, _)| *bucket == self.0);
                    keys.map(|(_, key)| key.clone()).collect()
                };
                Ok(KeyResponse { keys: PAIRS.with_borrow(own), cursor: None })
            }
        }
    }

    pub(super) mod batch {
        use super::store::{Bucket, Error};

        type Pair = (String, Vec<u8>);

        pub(in super::super) fn get_many(
            bucket: &Bucket,
            keys: &[String],
        ) -> Result<Vec<Option<Pair>>, Error> {
            keys.iter().map(|key| Ok(bucket.get(key)?.map(|value| (key.clone(), value)))).collect()
        }

        pub(in super::super) fn set_many(bucket: &Bucket, pairs: &[Pair]) -> Result<(), Error> {
            pairs.iter().try_for_each(|(key, value)| bucket.set(key, value))
        }

        pub(in super::super) fn delete_many(bucket: &Bucket, keys: &[String]) -> Result<(), Error> {
            keys.iter().try_for_each(|key| bucket.delete(key))
        }
    }

    pub(super) mod atomics {
        use super::store::{Bucket, Error};
        use super::{find, put};
        use std::cell::Cell;

        #[derive(Debug)]
        pub(in super::super) struct Cas {
            bucket: String,
            key: String,
            version: Cell<u64>,
        }

        pub(in super::super) enum CasError {
            #[allow(dead_code, reason = "a store in memory does not fail")]
            StoreError(Error),
            CasFailed(Cas),
        }

        impl Cas {
            pub(in super::super) fn new(bucket: &Bucket, key: &str) -> Result<Self, Error> {
                let cas = Self { bucket: bucket.0.clone(), key: key.to_owned(), version: Cell::new(0) };
                cas.current()?;
                Ok(cas)
            }

            pub(in super::super) fn current(&self) -> Result<Option<Vec<u8>>, Error> {
                let (value, version) = find(&self.bucket, &self.key).map_or((None, 0), |(v, n)| (Some(v), n));
                self.version.set(version);
                Ok(value)
            }
        }

        pub(in super::super) fn swap(cas: Cas, value: &[u8]) -> Result<(), CasError> {
            let now = find(&cas.bucket, &cas.key).map_or(0, |(_, version)| version);
            if now != cas.version.get() {
                cas.version.set(now);
                return Err(CasError::CasFailed(cas));
            }
            put(&cas.bucket, &cas.key, Some(value));
            Ok(())
        }

        pub(in super::super) fn increment(bucket: &Bucket, key: &str, delta: i64) -> Result<i64, Error> {
            let found = bucket.get(key)?.unwrap_or_else(|| b"0".to_vec());
            let number = String::from_utf8_lossy(&found).parse::<i64>();
            let sum = number.ok().and_then(|number| number.checked_add(delta));
            let sum = sum
                .ok_or_else(|| Error::Other(format!("`{key}` is no number that {delta} can be added to")))?;
            put(&bucket.0, key, Some(sum.to_string().as_bytes()));
            Ok(sum)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_that_came_too_late_is_tried_again_with_what_is_there() {
        let bucket = Bucket::open("b").unwrap();
        bucket.set("k", b"old").unwrap();
        let swap = Swap::begin(&bucket, "k").unwrap();
        bucket.set("k", b"other").unwrap();
        let again = swap.set(b"new").unwrap().unwrap();
        assert_eq!(again.current().unwrap().as_deref(), Some(b"other".as_slice()));
        assert!(again.set(b"new").unwrap().is_none());
        assert_eq!(bucket.get("k").unwrap().as_deref(), Some(b"new".as_slice()));
    }

    #[test]
    fn buckets_have_keys_of_their_own() {
        let (one, other) = (Bucket::open("one").unwrap(), Bucket::open("other").unwrap());
        one.set_many(&[("b", b"1"), ("a", b"2")]).unwrap();
        assert_eq!(one.keys().unwrap(), ["a", "b"]);
        assert!(other.keys().unwrap().is_empty());
        one.delete_many(&["a"]).unwrap();
        assert!(!one.exists("a").unwrap());
        assert_eq!(one.get_many(&["a", "b"]).unwrap(), [None, Some(b"1".to_vec())]);
        assert_eq!(Bucket::open(&"x".repeat(65)).unwrap_err(), Error::NoSuchStore);
    }
}
