//! What a plugin may do around the life of each of its instances.

/// The beginning and the end of an instance, whatever the plugin's roles.
///
/// ```
/// use gantry_guest::Lifecycle;
/// use std::cell::Cell;
///
/// thread_local!(static LIMIT: Cell<u32> = const { Cell::new(0) });
///
/// struct Limits;
///
/// impl Lifecycle for Limits {
///     fn init() -> Result<(), String> {
///         LIMIT.set("100".parse().map_err(|error| format!("the limit: {error}"))?);
///         Ok(())
///     }
/// }
///
/// gantry_guest::export_lifecycle!(Limits);
/// ```
pub trait Lifecycle {
    /// Called once in each new instance before its first work; `describe` may come before. It may take 5 s.
    ///
    /// # Errors
    /// The instance cannot begin, in words for the log; a panic is the same. In the first instance the file is rejected and
    /// the version before it serves on; later, the batch that waits for the instance is reconsumed later.
    fn init() -> Result<(), String> {
        Ok(())
    }

    /// Called once before an instance is let go in good order: its version was replaced or removed, it has served its number
    /// of calls, or it holds much memory. Not after a panic or a deadline. It may take 1 s.
    fn drop() {}
}

/// Makes a type that implements [`Lifecycle`] the plugin's: exports the WIT world `gantry:rocketmq/plugin-lifecycle` beside
/// its roles.
///
/// Once per crate, at module level. Where the target is not `wasm32` it exports nothing, and only makes sure that it could.
#[macro_export]
macro_rules! export_lifecycle {
    ($lifecycle:ty) => {
        const _: fn() -> Result<(), String> = <$lifecycle as $crate::Lifecycle>::init;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct ExportedLifecycle;

            impl $crate::__private::LifecycleGuest for ExportedLifecycle {
                fn init() -> Result<(), String> {
                    <$lifecycle as $crate::Lifecycle>::init()
                }

                fn drop() {
                    <$lifecycle as $crate::Lifecycle>::drop()
                }
            }

    $crate::bindings::lifecycle::export_plugin_lifecycle!(ExportedLifecycle with_types_in $crate::bindings::lifecycle);
        };
    };
}
