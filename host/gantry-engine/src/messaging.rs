//! The host's side of `wasi:messaging/types` 0.2 (draft), for components that export its `incoming-handler`: a message is a
//! resource, which the guest asks for its parts. There is no client to connect to: `producer` is not offered.

use std::sync::Arc;

use wasmtime::{
    StoreContextMut,
    component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType},
};

use crate::{
    failure::bounded_text, guest::GuestState, message::MessageBatch, wit::MESSAGING_TYPES_INTERFACE,
};

/// Bytes that the messages of one instance may have together: those it was given and those it makes.
const MAX_HELD_BYTES: usize = 64 << 20;
/// The user property that says what a body is, in any case of its letters.
const CONTENT_TYPE: &str = "content-type";

/// `message`.
pub(crate) struct HeldMessage {
    topic: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
    metadata: Option<Vec<(String, String)>>,
}

/// `client`, of which there is none.
pub(crate) enum Client {}

/// `error`. Texts of a guest's are not bounded yet.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum MessagingError {
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "connection")]
    Connection(String),
    #[component(name = "permission-denied")]
    PermissionDenied(String),
    #[component(name = "other")]
    Other(String),
}

pub(crate) type HandleParams = (Resource<HeldMessage>,);
pub(crate) type HandleReturn = (Result<(), MessagingError>,);

impl MessagingError {
    /// In words for the log, within bounds.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Timeout => "timeout".to_owned(),
            Self::Connection(text) => bounded_text(format!("connection: {text}")),
            Self::PermissionDenied(text) => bounded_text(format!("permission denied: {text}")),
            Self::Other(text) => bounded_text(text),
        }
    }
}

impl HeldMessage {
    /// The message at `index` as a guest is given it: its metadata are the user's properties.
    pub(crate) fn of(batch: &Arc<dyn MessageBatch>, index: usize, topic: &str) -> Self {
        let mut properties = Vec::new();
        batch.user_properties(index, &mut properties);
        let content_type = properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
        Self {
            topic: Some(topic.to_owned()),
            content_type: content_type.map(|(_, value)| (*value).to_owned()),
            data: batch.message(index).body.to_vec(),
            metadata: Some(properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        }
    }

    fn bytes(&self) -> usize {
        let metadata = self.metadata.iter().flatten().map(|(key, value)| key.len() + value.len() + 48);
        let texts = [&self.topic, &self.content_type].map(|text| text.as_ref().map_or(0, String::len));
        self.data.len() + metadata.sum::<usize>() + texts.iter().sum::<usize>()
    }

    fn add_metadata(&mut self, key: String, value: String) {
        let pairs = self.metadata.get_or_insert_default();
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => pairs.push((key, value)),
        }
    }
}

impl GuestState {
    /// Takes a message into the instance's table.
    pub(crate) fn hold(&mut self, message: HeldMessage) -> wasmtime::Result<Resource<HeldMessage>> {
        self.count_held(0, message.bytes())?;
        Ok(self.table().push(message)?)
    }

    /// Keeps to the bound of what all messages of the instance have together.
    fn count_held(&mut self, before: usize, after: usize) -> wasmtime::Result<()> {
        let held = self.held_bytes.saturating_sub(before).saturating_add(after);
        if held > MAX_HELD_BYTES {
            let most = MAX_HELD_BYTES >> 20;
            return Err(wasmtime::Error::msg(format!("its messages have more than {most} MiB together")));
        }
        self.held_bytes = held;
        Ok(())
    }

    fn change(
        &mut self,
        message: &Resource<HeldMessage>,
        change: impl FnOnce(&mut HeldMessage),
    ) -> wasmtime::Result<()> {
        let held = self.table().get_mut(message)?;
        let before = held.bytes();
        change(held);
        let after = held.bytes();
        self.count_held(before, after)
    }

    fn let_go(&mut self, message: Resource<HeldMessage>) -> wasmtime::Result<()> {
        let gone = self.table().delete(message)?;
        self.count_held(gone.bytes(), 0)
    }
}

type Store<'a> = StoreContextMut<'a, GuestState>;
type This = Resource<HeldMessage>;

/// Offers the interface to components.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance(MESSAGING_TYPES_INTERFACE)?;
    interface.resource("client", ResourceType::host::<Client>(), |_, _| Ok(()))?;
    interface.func_wrap("[static]client.connect", |_: Store<'_>, (_name,): (String,)| {
        let unsupported = "no client can be connected here: plugins send through gantry:rocketmq/producer";
        Ok((Err::<Resource<Client>, _>(MessagingError::Other(unsupported.to_owned())),))
    })?;
    interface.func_wrap("[method]client.disconnect", |_: Store<'_>, (_client,): (Resource<Client>,)| {
        Ok((Ok::<(), MessagingError>(()),))
    })?;
    interface.resource("message", ResourceType::host::<HeldMessage>(), |mut store, rep| {
        store.data_mut().let_go(Resource::new_own(rep))
    })?;
    interface.func_wrap("[constructor]message", |mut store: Store<'_>, (data,): (Vec<u8>,)| {
        let made = HeldMessage { topic: None, content_type: None, data, metadata: None };
        Ok((store.data_mut().hold(made)?,))
    })?;
    add_questions(&mut interface)?;
    add_changes(&mut interface)
}

type Interface<'a> = wasmtime::component::LinkerInstance<'a, GuestState>;

fn add_questions(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap("[method]message.topic", |mut store: Store<'_>, (this,): (This,)| {
        Ok((store.data_mut().table().get(&this)?.topic.clone(),))
    })?;
    interface.func_wrap("[method]message.content-type", |mut store: Store<'_>, (this,): (This,)| {
        Ok((store.data_mut().table().get(&this)?.content_type.clone(),))
    })?;
    interface.func_wrap("[method]message.data", |mut store: Store<'_>, (this,): (This,)| {
        Ok((store.data_mut().table().get(&this)?.data.clone(),))
    })?;
    interface.func_wrap("[method]message.metadata", |mut store: Store<'_>, (this,): (This,)| {
        Ok((store.data_mut().table().get(&this)?.metadata.clone(),))
    })
}

fn add_changes(interface: &mut Interface<'_>) -> wasmtime::Result<()> {
    interface.func_wrap(
        "[method]message.set-content-type",
        |mut store: Store<'_>, (this, content_type): (This, String)| {
            store.data_mut().change(&this, |message| message.content_type = Some(content_type))
        },
    )?;
    interface.func_wrap(
        "[method]message.set-data",
        |mut store: Store<'_>, (this, data): (This, Vec<u8>)| {
            store.data_mut().change(&this, |message| message.data = data)
        },
    )?;
    interface.func_wrap(
        "[method]message.add-metadata",
        |mut store: Store<'_>, (this, key, value): (This, String, String)| {
            store.data_mut().change(&this, |message| message.add_metadata(key, value))
        },
    )?;
    interface.func_wrap(
        "[method]message.set-metadata",
        |mut store: Store<'_>, (this, metadata): (This, Vec<(String, String)>)| {
            store.data_mut().change(&this, |message| message.metadata = Some(metadata))
        },
    )?;
    interface.func_wrap(
        "[method]message.remove-metadata",
        |mut store: Store<'_>, (this, key): (This, String)| {
            store.data_mut().change(&this, |message| {
                message.metadata.iter_mut().for_each(|pairs| pairs.retain(|(known, _)| *known != key));
            })
        },
    )
}
