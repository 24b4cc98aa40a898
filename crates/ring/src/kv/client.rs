//! A store for values of one type below one prefix: what components hold.

use std::marker::PhantomData;
use std::sync::Arc;

use rt::BoxError;

use super::{Codec, KvError, SharedValue, Store, Value};

/// Values of type `V` in a store. Clones share it.
pub struct Client<V> {
    store: Arc<dyn Store>,
    codec: Arc<dyn Codec>,
    prefix: Arc<str>,
    value: PhantomData<fn() -> V>,
}

impl<V> Clone for Client<V> {
    fn clone(&self) -> Self {
        let (store, codec) = (Arc::clone(&self.store), Arc::clone(&self.codec));
        Self { store, codec, prefix: Arc::clone(&self.prefix), value: PhantomData }
    }
}

impl<V: Value + Clone> Client<V> {
    /// Values below `prefix`, such as `collectors/`.
    pub fn new(store: Arc<dyn Store>, codec: Arc<dyn Codec>, prefix: &str) -> Self {
        Self { store, codec, prefix: prefix.into(), value: PhantomData }
    }

    /// The store's name.
    pub fn store_name(&self) -> &'static str {
        self.store.name()
    }

    /// The value behind a key.
    pub async fn get(&self, key: &str) -> Result<Option<V>, KvError> {
        let value = self.store.get(&self.path(key), self.codec.as_ref()).await?;
        Ok(value.as_ref().and_then(typed))
    }

    /// Changes the value behind a key. `update` gets the value that is there and returns the new
    /// one, or `None` to leave it; it may be called several times.
    pub async fn cas(
        &self,
        key: &str,
        mut update: impl FnMut(Option<V>) -> Result<Option<V>, BoxError> + Send,
    ) -> Result<(), KvError> {
        let mut untyped = |value: Option<SharedValue>| {
            let new = update(value.as_ref().and_then(typed))?;
            Ok(new.map(|new| Box::new(new) as Box<dyn Value>))
        };
        self.store.cas(&self.path(key), self.codec.as_ref(), &mut untyped).await
    }

    /// Removes a key.
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        self.store.delete(&self.path(key)).await
    }

    /// The keys that begin with `prefix`, without that of the client.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, KvError> {
        let keys = self.store.list(&self.path(prefix)).await?;
        Ok(keys.iter().map(|key| self.without_prefix(key).to_owned()).collect())
    }

    /// Reports every value of a key until the future is dropped or `on_change` says `false`.
    pub async fn watch_key(&self, key: &str, mut on_change: impl FnMut(Option<V>) -> bool + Send) {
        let mut untyped =
            |_: &str, value: Option<SharedValue>| on_change(value.as_ref().and_then(typed));
        self.store.watch_key(&self.path(key), self.codec.as_ref(), &mut untyped).await;
    }

    /// Reports every value of the keys that begin with `prefix`.
    pub async fn watch_prefix(
        &self,
        prefix: &str,
        mut on_change: impl FnMut(&str, Option<V>) -> bool + Send,
    ) {
        let mut untyped = |key: &str, value: Option<SharedValue>| {
            on_change(self.without_prefix(key), value.as_ref().and_then(typed))
        };
        self.store.watch_prefix(&self.path(prefix), self.codec.as_ref(), &mut untyped).await;
    }

    fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn without_prefix<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(self.prefix.as_ref()).unwrap_or(key)
    }
}

fn typed<V: Value + Clone>(value: &SharedValue) -> Option<V> {
    value.as_any().downcast_ref::<V>().cloned()
}
