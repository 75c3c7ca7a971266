//! `#[strategy(...)]`: from a function to an implementation of `Strategy`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{ItemFn, LitStr, Result, parse2};

use crate::arguments::{Arguments, once, unknown};
use crate::rules;

const SHAPE: &str = "fn allocate(consumer_group: &str, current_client_id: &str, queues: &[MessageQueue], \
                     client_ids: &[String]) -> Result<Vec<MessageQueue>, String>";

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let (mut name, mut version) = (None::<LitStr>, None::<LitStr>);
    for argument in parse2::<Arguments>(arguments)?.iter() {
        match argument.name.to_string().as_str() {
            "name" => {
                rules::name("a plugin's name", argument.text()?, 64, "_-")?;
                once(&mut name, argument, argument.text()?.clone())?;
            }
            "version" => once(&mut version, argument, argument.text()?.clone())?,
            _ => return Err(unknown(argument, &["name", "version"])),
        }
    }
    let function: ItemFn = parse2(function)?;
    rules::function(&function, &[4], SHAPE)?;
    let name = name.map_or_else(|| quote! { ::core::env!("CARGO_PKG_NAME") }, |name| quote! { #name });
    let version = version.map(|version| quote! { .version(#version) });
    let called = &function.sig.ident;
    let answer = quote_spanned! { function.sig.output.span() =>
        #called(consumer_group, current_client_id, queues, client_ids)
    };
    Ok(quote! {
        #function

        /// What the host calls, made by `#[gantry_guest::strategy]`.
        struct __GantryStrategy;

        impl ::gantry_guest::Strategy for __GantryStrategy {
            fn describe() -> ::gantry_guest::StrategyDescription {
                ::gantry_guest::StrategyDescription::new(#name) #version
            }

            fn allocate(
                consumer_group: &::core::primitive::str,
                current_client_id: &::core::primitive::str,
                queues: &[::gantry_guest::MessageQueue],
                client_ids: &[::std::string::String],
            ) -> ::core::result::Result<::std::vec::Vec<::gantry_guest::MessageQueue>, ::std::string::String> {
                #answer
            }
        }

        ::gantry_guest::export_strategy!(__GantryStrategy);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: TokenStream) -> Result<String> {
        let function = quote! {
            fn share(g: &str, me: &str, queues: &[MessageQueue], ids: &[String]) -> Result<Vec<MessageQueue>, String> { todo() }
        };
        expand(arguments, function).map(|tokens| tokens.to_string().replace(' ', ""))
    }

    #[test]
    fn the_function_is_called_and_the_name_given() {
        let all = expanded(quote! { name = "round", version = "2" }).unwrap();
        assert!(all.contains(r#"StrategyDescription::new("round").version("2")"#), "{all}");
        assert!(all.contains("share(consumer_group,current_client_id,queues,client_ids)"), "{all}");
        assert!(all.contains("::gantry_guest::export_strategy!(__GantryStrategy)"), "{all}");
    }

    #[test]
    fn an_error_names_the_rule() {
        let fault = |arguments| expanded(arguments).unwrap_err().to_string();
        assert_eq!(fault(quote! { group = "g" }), "there is no `group`; the arguments are name, version");
        assert!(fault(quote! { name = "my rule" }).contains("A-Z a-z 0-9 _ -; this one has ' '"));
        let two = expand(quote! {}, quote! { fn f(a: &str, b: &str) -> Result<(), String> {} }).unwrap_err();
        assert!(two.to_string().contains("it takes 2 parameters, not 4"), "{two}");
    }
}
