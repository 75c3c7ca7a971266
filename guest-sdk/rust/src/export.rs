//! From the trait to the component's exports.

use crate::bindings::gantry::rocketmq::types;
use crate::{Context, Listener, Message};

/// Makes a type that implements [`Listener`] the plugin: exports the WIT world `gantry:rocketmq/message-listener`.
///
/// Once per crate, at module level. Where the target is not `wasm32` it exports nothing, and only makes sure that it
/// could.
#[macro_export]
macro_rules! export_listener {
    ($listener:ty) => {
        const _: fn(
            $crate::__private::ConsumeContext,
            Vec<$crate::__private::Message>,
        ) -> Result<Vec<$crate::__private::ConsumeResult>, String> = $crate::__private::consume::<$listener>;

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::__private::Guest for Exported {
                fn describe() -> $crate::__private::ListenerDescription {
                    $crate::__private::describe::<$listener>(env!("CARGO_PKG_VERSION"))
                }

                fn consume_message(
                    context: $crate::__private::ConsumeContext,
                    batch: Vec<$crate::__private::Message>,
                ) -> Result<Vec<$crate::__private::ConsumeResult>, String> {
                    $crate::__private::consume::<$listener>(context, batch)
                }
            }

    $crate::bindings::export_message_listener!(Exported with_types_in $crate::bindings);
        };
    };
}

/// The WIT's `describe`.
pub fn describe<L: Listener>(package_version: &str) -> types::ListenerDescription {
    L::describe().into_wit(package_version)
}

/// The WIT's `consume-message`.
///
/// # Errors
/// What the listener's own batch form returns.
pub fn consume<L: Listener>(
    context: types::ConsumeContext,
    batch: Vec<types::Message>,
) -> Result<Vec<types::ConsumeResult>, String> {
    let batch: Vec<Message> =
        (0..).zip(batch).map(|(index, record)| Message::delivered(record, index)).collect();
    L::consume_batch(&Context(context), &batch)
}
