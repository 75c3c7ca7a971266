//! The attribute macros of `gantry-guest`, which re-exports them: an ordinary function becomes the plugin.
//!
//! What an attribute says is checked where it is written, by the rules the host checks a description by. What it expands to
//! is the function as it was, an implementation of `gantry_guest`'s trait that calls it, and the trait's own export macro:
//! nothing here knows what a component exports.

mod arguments;
mod listener;
mod rules;
mod strategy;

use proc_macro::TokenStream;

/// Makes a function the plugin's listener. See `gantry_guest::listener`.
#[proc_macro_attribute]
pub fn listener(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expanded(listener::expand(arguments.into(), function.into()))
}

/// Makes a function the plugin's allocation strategy. See `gantry_guest::strategy`.
#[proc_macro_attribute]
pub fn strategy(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expanded(strategy::expand(arguments.into(), function.into()))
}

fn expanded(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.to_compile_error()).into()
}
