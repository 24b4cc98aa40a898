//! The simulated object storage: in memory, with the simulation's time, slow and failing when it
//! is told to. Every node has its own way to it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result,
};
use parking_lot::Mutex;

use crate::bugs::Bug;
use crate::network::Network;
use crate::world::World;

/// The bucket's name in the network.
const BUCKET: &str = "bucket";

/// How the bucket behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mood {
    /// So many of a thousand operations fail, and nothing has happened.
    pub(crate) fails: u64,
    /// So many of a thousand changes happen and an error is reported.
    pub(crate) loses_answers: u64,
    /// Operations take up to so many ms longer.
    pub(crate) slow_ms: u64,
}

/// The bucket.
pub(crate) struct Objects {
    world: Arc<World>,
    network: Arc<Network>,
    inner: InMemory,
    mood: Mutex<Mood>,
    /// When the objects that are there were written, ms.
    written_ms: Mutex<BTreeMap<String, i64>>,
}

impl Objects {
    /// An empty bucket.
    pub(crate) fn new(world: &Arc<World>, network: &Arc<Network>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            network: Arc::clone(network),
            inner: InMemory::new(),
            mood: Mutex::default(),
            written_ms: Mutex::default(),
        })
    }

    /// Changes how it behaves.
    pub(crate) fn set_mood(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    /// The way of a process of `node` to it.
    pub(crate) fn seen_by(self: &Arc<Self>, node: &str) -> Arc<NodeObjects> {
        let is_alive = AtomicBool::new(true);
        Arc::new(NodeObjects { objects: Arc::clone(self), node: node.to_owned(), is_alive })
    }

    /// The object's description with the simulation's time.
    fn dated(&self, meta: ObjectMeta) -> ObjectMeta {
        let at_ms = self.written_ms.lock().get(meta.location.as_ref()).copied().unwrap_or_default();
        let epoch = meta.last_modified
            - Duration::from_millis(meta.last_modified.timestamp_millis().unsigned_abs());
        ObjectMeta { last_modified: epoch + Duration::from_millis(at_ms.unsigned_abs()), ..meta }
    }

    async fn has_written(&self, node: &str, path: &Path) {
        self.written_ms.lock().insert(path.to_string(), self.world.now_ms());
        let (path, world) = (path.as_ref(), &self.world);
        if path.ends_with("/meta.json") {
            let is_compacted = node.starts_with("compactor");
            world.cover(if is_compacted { "blocks compacted" } else { "blocks uploaded" });
        } else if path.ends_with("/deletion-mark.json") {
            world.cover("blocks marked for deletion");
            if world.bug == Some(Bug::BlockDeletedEarly) {
                self.delete_block(path.trim_end_matches("deletion-mark.json")).await;
            }
        }
    }

    /// The directories in `dir`, and the names of the objects in it. Looks at one key of each.
    fn children(&self, dir: &str) -> (Vec<String>, Vec<String>) {
        let base = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let written = self.written_ms.lock();
        let (mut dirs, mut names, mut next) = (Vec::new(), Vec::new(), base.clone());
        while let Some((key, _)) = written.range(next..).next() {
            let Some(rest) = key.strip_prefix(&base) else { break };
            match rest.find('/') {
                Some(at) => {
                    let name = &key[..base.len() + at];
                    dirs.push(name.to_owned());
                    next = format!("{name}0"); // What follows all that begins with `name/`.
                }
                None => {
                    names.push(key.clone());
                    next = format!("{key}\0");
                }
            }
        }
        (dirs, names)
    }

    async fn list_dir(&self, dir: &str) -> Result<ListResult> {
        let (dirs, names) = self.children(dir);
        let mut objects = Vec::new();
        for name in names {
            objects.push(self.dated(self.inner.head(&Path::parse(name)?).await?));
        }
        let common_prefixes = dirs.into_iter().map(Path::parse).collect::<Result<_, _>>()?;
        Ok(ListResult { objects, common_prefixes, extensions: Default::default() })
    }

    /// The planted bug: the block is gone at once.
    async fn delete_block(&self, prefix: &str) {
        let Ok(prefix) = Path::parse(prefix.trim_end_matches('/')) else { return };
        let files: Vec<_> = self.inner.list(Some(&prefix)).collect().await;
        for file in files.into_iter().flatten() {
            let _ = self.inner.delete(&file.location).await;
            self.written_ms.lock().remove(file.location.as_ref());
        }
    }
}

/// The bucket as one process sees it.
pub(crate) struct NodeObjects {
    objects: Arc<Objects>,
    node: String,
    is_alive: AtomicBool,
}

impl NodeObjects {
    /// The process has been killed.
    pub(crate) fn fence(&self) {
        self.is_alive.store(false, Ordering::Relaxed);
    }

    /// Does `work` when its time has come, or lets it go wrong.
    async fn around<T>(
        &self,
        (what, is_change): (&str, bool),
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let (world, mood) = (&self.objects.world, *self.objects.mood.lock());
        let network = &self.objects.network;
        world.detail(format_args!("{} {what}", self.node));
        network.carry(&self.node, BUCKET).await.map_err(|_| broken("not reachable"))?;
        let extra_ms = if mood.slow_ms > 0 { world.below(mood.slow_ms) } else { 0 };
        rt::time::sleep(Duration::from_millis(2 + world.below(10) + extra_ms)).await;
        if world.chance(mood.fails) {
            world.cover("bucket operations failed");
            return Err(broken("it was told to fail"));
        }
        if !self.is_alive.load(Ordering::Relaxed) {
            return Err(broken("the process was killed"));
        }
        let done = work.await;
        if is_change && done.is_ok() && world.chance(mood.loses_answers) {
            world.cover("bucket answers lost");
            return Err(broken("the answer got lost"));
        }
        done
    }
}

fn broken(why: &'static str) -> Error {
    Error::Generic { store: "simulated", source: why.into() }
}

impl fmt::Debug for NodeObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeObjects({})", self.node)
    }
}

impl fmt::Display for NodeObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for NodeObjects {
    async fn put_opts(&self, to: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let put = async {
            let result = self.objects.inner.put_opts(to, data, opts).await?;
            let (world, node) = (&self.objects.world, &self.node);
            world.log(format_args!("{node} put {to}"));
            self.objects.has_written(node, to).await;
            Ok(result)
        };
        self.around(("put", true), put).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.around(("parts", true), self.objects.inner.put_multipart_opts(to, opts)).await
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        let get = self.objects.inner.get_opts(from, options);
        let mut result = self.around((from.as_ref(), false), get).await?;
        result.meta = self.objects.dated(result.meta);
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = Self {
            objects: Arc::clone(&self.objects),
            node: self.node.clone(),
            is_alive: AtomicBool::new(self.is_alive.load(Ordering::Relaxed)),
        };
        // One object a call: that is how the bucket deletes.
        let delete = async move {
            let first = async {
                let mut deleted = this.objects.inner.delete_stream(locations);
                let path = deleted.next().await.unwrap_or_else(|| Err(broken("nothing")))?;
                this.objects.written_ms.lock().remove(path.as_ref());
                this.objects.world.log(format_args!("{} delete {path}", this.node));
                if path.as_ref().ends_with("/meta.json") {
                    this.objects.world.cover("blocks deleted");
                }
                Ok(path)
            };
            this.around(("delete", true), first).await
        };
        delete.into_stream().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let objects = Arc::clone(&self.objects);
        let (node, prefix) = (self.node.clone(), prefix.cloned());
        let list = async move {
            let seen = objects.seen_by(&node);
            let all = async { Ok(objects.inner.list(prefix.as_ref()).collect::<Vec<_>>().await) };
            match seen.around(("list", false), all).await {
                Ok(all) => all.into_iter().map(|m| m.map(|meta| objects.dated(meta))).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        list.map(stream::iter).into_stream().flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let dir = prefix.map_or("", |prefix| prefix.as_ref());
        self.around(("dirs", false), self.objects.list_dir(dir)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.around(("copy", true), self.objects.inner.copy_opts(from, to, options)).await
    }
}
