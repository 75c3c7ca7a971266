//! `#[listener(...)]`: from a function and a description to an implementation of `Listener`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, ItemFn, LitInt, LitStr, Result, parse2};

use crate::arguments::{Argument, Arguments, once, unknown};
use crate::rules;

const SHAPE: &str = "fn consume(context: &Context, message: &Message) -> Result<(), Failure>";
const ARGUMENTS: [&str; 12] = [
    "name",
    "version",
    "group",
    "topic",
    "tags",
    "sql",
    "batch",
    "max_reconsume_times",
    "timeout",
    "from",
    "orderly",
    "broadcasting",
];

/// What the attribute says.
#[derive(Default)]
struct Said {
    name: Option<LitStr>,
    version: Option<LitStr>,
    group: Option<LitStr>,
    topics: Vec<Topic>,
    batch: Option<LitInt>,
    retries: Option<LitInt>,
    timeout: Option<u64>,
    from: Option<TokenStream>,
    orderly: Option<()>,
    broadcasting: Option<()>,
}

/// A topic, and which of its messages.
struct Topic {
    name: LitStr,
    filter: Option<Filter>,
}

enum Filter {
    Tags(LitStr),
    Sql(LitStr),
}

pub(crate) fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let said = Said::read(&parse2(arguments)?)?;
    let function: ItemFn = parse2(function)?;
    rules::function(&function, &[1, 2], SHAPE)?;
    let description = said.description();
    let call = call(&function);
    Ok(quote! {
        #function

        /// What the host calls, made by `#[gantry_guest::listener]`.
        struct __GantryListener;

        impl ::gantry_guest::Listener for __GantryListener {
            const ONE_BY_ONE: bool = true;

            fn describe() -> ::gantry_guest::Description {
                #description
            }

            fn consume(
                context: &::gantry_guest::Context,
                message: &::gantry_guest::Message,
            ) -> ::core::result::Result<(), ::gantry_guest::Failure> {
                #call
            }
        }

        ::gantry_guest::export_listener!(__GantryListener);
    })
}

/// The call, so written that a type which does not fit is marked in the function and not in the attribute.
fn call(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    let parameters = function.sig.inputs.iter().rev().zip(["message", "context"]);
    let mut given: Vec<Ident> = parameters
        .map(|(parameter, name)| Ident::new(name, Span::call_site().located_at(parameter.span())))
        .collect();
    given.reverse();
    let answer = quote_spanned! { function.sig.output.span() => #name(#(#given),*) };
    match given.len() {
        // The trait gives a context; a function that wants none leaves it.
        1 => quote! { let _ = context; #answer },
        _ => answer,
    }
}

impl Said {
    fn read(arguments: &Arguments) -> Result<Self> {
        let mut said = Self::default();
        arguments.iter().try_for_each(|argument| said.take(argument))?;
        if said.group.is_none() {
            return Err(Error::new(
                Span::call_site(),
                "which consumer group? say `group = \"orders-group\"`",
            ));
        }
        if said.topics.is_empty() {
            return Err(Error::new(
                Span::call_site(),
                "which messages? say `topic = \"orders\"`, once for each topic",
            ));
        }
        said.check_contradictions()?;
        Ok(said)
    }

    fn take(&mut self, argument: &Argument) -> Result<()> {
        match argument.name.to_string().as_str() {
            "name" => {
                let text = argument.text()?;
                rules::name("a plugin's name", text, 64, "_-")?;
                once(&mut self.name, argument, text.clone())
            }
            "version" => once(&mut self.version, argument, argument.text()?.clone()),
            "group" => {
                let text = argument.text()?;
                rules::name("a consumer group", text, 120, "_-%|")?;
                once(&mut self.group, argument, text.clone())
            }
            "topic" => self.take_topic(argument.text()?),
            "tags" => {
                let text = argument.text()?;
                rules::tags(text)?;
                self.take_filter(argument, Filter::Tags(text.clone()))
            }
            "sql" => {
                let text = argument.text()?;
                if text.value().trim().is_empty() {
                    return Err(argument.error("a condition is not empty; such as \"amount > 100\""));
                }
                self.take_filter(argument, Filter::Sql(text.clone()))
            }
            "batch" => once(&mut self.batch, argument, argument.number(1..=1024)?.clone()),
            "max_reconsume_times" => once(
                &mut self.retries,
                argument,
                argument.number(0..=i32::MAX.unsigned_abs().into())?.clone(),
            ),
            "timeout" => {
                let time = rules::duration(argument.text()?)?;
                once(&mut self.timeout, argument, u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            }
            "from" => once(&mut self.from, argument, from(argument)?),
            "orderly" => argument.flag().and_then(|()| once(&mut self.orderly, argument, ())),
            "broadcasting" => argument.flag().and_then(|()| once(&mut self.broadcasting, argument, ())),
            _ => Err(unknown(argument, &ARGUMENTS)),
        }
    }

    fn take_topic(&mut self, text: &LitStr) -> Result<()> {
        rules::name("a topic", text, 127, "_-%|")?;
        if self.topics.iter().any(|topic| topic.name.value() == text.value()) {
            return Err(Error::new(text.span(), "this topic is named twice"));
        }
        self.topics.push(Topic { name: text.clone(), filter: None });
        Ok(())
    }

    fn take_filter(&mut self, argument: &Argument, filter: Filter) -> Result<()> {
        let name = &argument.name;
        let Some(topic) = self.topics.last_mut() else {
            let what = format!("`{name}` says which messages of the topic before it: name the topic first");
            return Err(Error::new(name.span(), what));
        };
        match topic.filter.replace(filter) {
            None => Ok(()),
            Some(_) => Err(Error::new(name.span(), "this topic has its tags or condition already")),
        }
    }

    fn check_contradictions(&self) -> Result<()> {
        match (&self.retries, self.broadcasting, self.orderly) {
            (Some(retries), Some(()), None) if retries.base10_digits() != "0" => Err(Error::new(
                retries.span(),
                "`broadcasting` retries nothing unless it is `orderly` too; leave `max_reconsume_times` out",
            )),
            _ => Ok(()),
        }
    }

    /// `Description::new(...)` and what follows.
    fn description(&self) -> TokenStream {
        let name = self
            .name
            .as_ref()
            .map_or_else(|| quote! { ::core::env!("CARGO_PKG_NAME") }, |name| quote! { #name });
        let group = &self.group;
        let topics = self.topics.iter().map(|Topic { name, filter }| match filter {
            None => quote! { .subscribe(#name, "*") },
            Some(Filter::Tags(tags)) => quote! { .subscribe(#name, #tags) },
            Some(Filter::Sql(condition)) => quote! { .subscribe_sql92(#name, #condition) },
        });
        let version = self.version.iter().map(|version| quote! { .version(#version) });
        let batch = self.batch.iter().map(|messages| quote! { .batch_max_size(#messages) });
        let retries = self.retries.iter().map(|times| quote! { .max_reconsume_times(#times) });
        let timeout = self.timeout.iter().map(|milliseconds| {
            quote! { .consume_timeout(::core::time::Duration::from_millis(#milliseconds)) }
        });
        let from = self.from.iter().map(|from| quote! { .consume_from_where(#from) });
        let orderly = self.orderly.map(|()| quote! { .orderly() });
        let broadcasting = self.broadcasting.map(|()| quote! { .broadcasting() });
        quote! {
            ::gantry_guest::Description::new(#name, #group)
                #(#topics)* #(#version)* #(#batch)* #(#retries)* #(#timeout)* #(#from)* #orderly #broadcasting
        }
    }
}

/// Where a group without a stored offset begins.
fn from(argument: &Argument) -> Result<TokenStream> {
    if argument.as_number().is_some() {
        let milliseconds = argument.number(0..=i64::MAX.unsigned_abs())?;
        return Ok(quote! { ::gantry_guest::ConsumeFromWhere::Timestamp(#milliseconds) });
    }
    let unknown = || {
        argument.error("`from` is \"last-offset\", \"first-offset\", or a time in milliseconds since 1970, such as 1764152400000")
    };
    match argument.text().map_err(|_| unknown())?.value().as_str() {
        "last-offset" => Ok(quote! { ::gantry_guest::ConsumeFromWhere::LastOffset }),
        "first-offset" => Ok(quote! { ::gantry_guest::ConsumeFromWhere::FirstOffset }),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: TokenStream) -> Result<String> {
        let function = quote! { fn consume(message: &Message) -> Result<(), Failure> { Ok(()) } };
        expand(arguments, function).map(|tokens| tokens.to_string().replace(' ', ""))
    }

    fn fault(arguments: &str) -> String {
        expanded(arguments.parse().unwrap()).unwrap_err().to_string()
    }

    fn function_fault(function: TokenStream) -> String {
        expand(quote! { group = "g", topic = "t" }, function).unwrap_err().to_string()
    }

    #[test]
    fn everything_said_is_in_the_description() {
        let all = expanded(quote! {
            name = "orders", version = "2", group = "orders-group", topic = "orders", tags = "a || b", topic = "refunds",
            sql = "amount > 1", topic = "rest", batch = 32, max_reconsume_times = 3, timeout = "5s", from = "first-offset",
            orderly, broadcasting,
        })
        .unwrap();
        for part in [
            r#"Description::new("orders","orders-group").subscribe("orders","a||b").subscribe_sql92("refunds","amount>1")"#,
            r#".subscribe("rest","*").version("2").batch_max_size(32).max_reconsume_times(3)"#,
            ".consume_timeout(::core::time::Duration::from_millis(5000u64))",
            "ConsumeFromWhere::FirstOffset).orderly().broadcasting()",
            "::gantry_guest::export_listener!(__GantryListener)",
        ] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
    }

    #[test]
    fn what_is_left_out_is_left_to_the_host_and_the_package() {
        let least = expanded(quote! { group = "g", topic = "t" }).unwrap();
        assert!(
            least.contains(r#"::new(::core::env!("CARGO_PKG_NAME"),"g").subscribe("t","*")}"#),
            "{least}"
        );
        let since = expanded(quote! { group = "g", topic = "t", from = 1764152400000 }).unwrap();
        assert!(since.contains("ConsumeFromWhere::Timestamp(1764152400000)"), "{since}");
    }

    #[test]
    fn an_error_names_the_rule() {
        for (arguments, what) in [
            ("topic = \"t\"", "which consumer group?"),
            ("group = \"g\"", "which messages?"),
            (
                "group = \"g g\", topic = \"t\"",
                "a consumer group has only A-Z a-z 0-9 _ - % |; this one has ' '",
            ),
            ("name = \"\", group = \"g\"", "a plugin's name is not empty"),
            ("topics = \"t\"", "there is no `topics`; the arguments are name, version, group, topic,"),
            ("group = \"g\", group = \"h\"", "`group` is given twice"),
            ("topic = \"t\", topic = \"t\"", "this topic is named twice"),
            ("tags = \"a\"", "name the topic first"),
            ("topic = \"t\", tags = \"a | b\"", "tags are joined by `||`"),
            ("topic = \"t\", tags = \"a\", sql = \"b\"", "its tags or condition already"),
            ("batch = 0", "`batch` is a number from 1 to 1024, such as `batch = 1`"),
            ("batch = \"32\"", "`batch` is a number from 1 to 1024"),
            ("group", "`group` is a text, such as `group = \"...\"`"),
            ("orderly = true", "`orderly` stands for itself"),
            ("timeout = \"5\"", "a number above 0 with ms, s, m or h"),
            ("from = \"start\"", "`from` is \"last-offset\", \"first-offset\""),
            (
                "group = \"g\", topic = \"t\", broadcasting, max_reconsume_times = 3",
                "`broadcasting` retries nothing",
            ),
        ] {
            let told = fault(arguments);
            assert!(told.contains(what), "{arguments}: {told}");
        }
    }

    #[test]
    fn a_function_of_another_shape_is_refused_with_the_right_one() {
        for (function, what) in [
            (quote! { async fn f(m: &Message) -> Result<(), Failure> {} }, "not async"),
            (quote! { unsafe fn f(m: &Message) -> Result<(), Failure> {} }, "not unsafe"),
            (quote! { fn f<T>(m: &T) -> Result<(), Failure> {} }, "no generic parameters"),
            (quote! { fn f(&self) -> Result<(), Failure> {} }, "without self"),
            (quote! { fn f() -> Result<(), Failure> {} }, "it takes 0 parameters, not 1 or 2"),
            (quote! { fn f(m: &Message) {} }, "it answers nothing"),
        ] {
            let told = function_fault(function);
            assert!(told.contains(what) && told.contains(SHAPE), "{told}");
        }
        assert!(function_fault(quote! { struct Orders; }).contains("expected `fn`"));
    }

    #[test]
    fn the_context_is_passed_where_it_is_wanted() {
        let function = quote! { fn f(c: &Context, m: &Message) -> Result<(), Failure> { Ok(()) } };
        let both =
            expand(quote! { group = "g", topic = "t" }, function).unwrap().to_string().replace(' ', "");
        assert!(both.contains("f(context,message)"), "{both}");
        assert!(expanded(quote! { group = "g", topic = "t" }).unwrap().contains("consume(message)}"));
    }
}
