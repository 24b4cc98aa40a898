//! Doubles for tests of this crate and of components: an object store with faults, a server that
//! speaks S3, a memcached. Never used by the server.

mod memcached;
#[cfg(feature = "s3-server")]
mod s3_server;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use memcached::Memcached;
#[cfg(feature = "s3-server")]
pub use s3_server::S3Server;

/// What an object store is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading an object, a part of it or its size.
    Get,
    /// Listing, with or without delimiter.
    List,
    /// Writing an object at once, or beginning an upload of several parts.
    Put,
    /// Writing a part of an upload.
    Part,
    /// Making the parts of an upload one object.
    Complete,
    /// Deleting.
    Delete,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing has happened.
    Error,
    /// It happens, and an error is reported nevertheless: the answer got lost.
    LostAnswer,
    /// It happens later.
    Delay(Duration),
    /// A list answers that there is nothing.
    LostList,
}

/// An object store with faults. Every object that is written or deleted counts as one change.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    faults: Vec<(Operation, VecDeque<Fault>)>,
    operations: Vec<Operation>,
    changes: u64,
    allowed_changes: u64,
    holds: Vec<(Operation, Hold)>,
}

/// An operation that has to wait.
#[derive(Debug)]
struct Hold {
    arrived: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

/// The other side of an operation that has to wait. When it is dropped the operation goes on.
#[derive(Debug)]
pub struct Held {
    arrived: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Held {
    /// Waits until the operation has begun.
    pub async fn arrived(&mut self) {
        // It fails when the store is gone: then nothing will begin.
        let _ = (&mut self.arrived).await;
    }

    /// Lets the operation go on.
    pub fn release(self) {
        let _ = self.release.send(());
    }
}

impl Default for FaultyStore {
    fn default() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }
}

impl FaultyStore {
    /// A store without faults so far.
    pub fn over(inner: Arc<dyn ObjectStore>) -> Self {
        let state = State {
            faults: Vec::new(),
            operations: Vec::new(),
            changes: 0,
            allowed_changes: u64::MAX,
            holds: Vec::new(),
        };
        Self { inner, state: Arc::new(Mutex::new(state)) }
    }

    /// Lets this many more changes succeed: a crash at a certain step.
    pub fn allow_changes(&self, count: u64) {
        let mut state = self.state.lock();
        state.allowed_changes = state.changes.saturating_add(count);
    }

    /// How many changes succeeded.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// The next `count` operations of this kind go wrong, after those that shall already.
    pub fn inject(&self, operation: Operation, fault: Fault, count: usize) {
        let mut state = self.state.lock();
        let faults = std::iter::repeat_n(fault, count);
        match state.faults.iter_mut().find(|(of, _)| *of == operation) {
            Some((_, queue)) => queue.extend(faults),
            None => state.faults.push((operation, faults.collect())),
        }
    }

    /// The next operation of this kind begins and then waits until it is released.
    pub fn hold(&self, operation: Operation) -> Held {
        let (arrived_sender, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.state.lock().holds.push((operation, Hold { arrived: arrived_sender, released }));
        Held { arrived, release }
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.allowed_changes = u64::MAX;
    }

    /// How many faults were not met yet.
    pub fn faults_left(&self) -> usize {
        self.state.lock().faults.iter().map(|(_, queue)| queue.len()).sum()
    }

    /// How many operations there were, of one kind or of all.
    pub fn operations(&self, of: Option<Operation>) -> u64 {
        let state = self.state.lock();
        state.operations.iter().filter(|operation| of.is_none_or(|of| of == **operation)).count()
            as u64
    }

    fn faults(&self) -> Faults {
        Faults(Arc::clone(&self.state))
    }
}

/// The faults of a store, which uploads of several parts share.
#[derive(Debug, Clone)]
struct Faults(Arc<Mutex<State>>);

impl Faults {
    /// Counts an operation and does it, or lets it go wrong.
    async fn around<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if let Some(hold) = self.take_hold(operation) {
            // Whoever has held it may be gone.
            let _ = hold.arrived.send(());
            let _ = hold.released.await;
        }
        match self.next(operation)? {
            Some(Fault::Error) => Err(broken("it was told to fail")),
            Some(Fault::LostAnswer) => work.await.and_then(|_| Err(broken("the answer got lost"))),
            Some(Fault::Delay(time)) => {
                rt::time::sleep(time).await;
                work.await
            }
            Some(Fault::LostList) | None => work.await,
        }
    }

    fn take_hold(&self, operation: Operation) -> Option<Hold> {
        let mut state = self.0.lock();
        let at = state.holds.iter().position(|(of, _)| *of == operation)?;
        Some(state.holds.remove(at).1)
    }

    /// The fault of an operation that begins now; an error when there may be no more changes.
    fn next(&self, operation: Operation) -> Result<Option<Fault>> {
        let mut state = self.0.lock();
        state.operations.push(operation);
        if matches!(operation, Operation::Put | Operation::Delete) {
            if state.allowed_changes <= state.changes {
                return Err(broken("no more changes"));
            }
            state.changes += 1;
        }
        let queue = state.faults.iter_mut().find(|(of, _)| *of == operation);
        Ok(queue.and_then(|(_, queue)| queue.pop_front()))
    }
}

fn broken(why: &'static str) -> Error {
    Error::Generic { store: "faulty", source: why.into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, to: &Path, data: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.faults().around(Operation::Put, self.inner.put_opts(to, data, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let start = self.inner.put_multipart_opts(to, opts);
        let inner = self.faults().around(Operation::Put, start).await?;
        Ok(Box::new(FaultyUpload { inner, faults: self.faults() }))
    }

    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults().around(Operation::Get, self.inner.get_opts(from, options)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // One object a call: that is how the bucket deletes.
        let (faults, inner) = (self.faults(), Arc::clone(&self.inner));
        let delete = async move {
            let mut deleted = inner.delete_stream(locations);
            let first = async { deleted.next().await.unwrap_or_else(|| Err(broken("nothing"))) };
            faults.around(Operation::Delete, first).await
        };
        delete.into_stream().boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let inner = Arc::clone(&self.inner);
        let prefix = prefix.cloned();
        match self.faults().next(Operation::List) {
            Ok(Some(Fault::Error | Fault::LostAnswer)) => {
                stream::iter([Err(broken("it was told to fail"))]).boxed()
            }
            Ok(Some(Fault::LostList)) => stream::empty().boxed(),
            Ok(Some(Fault::Delay(time))) => {
                let later = async move {
                    rt::time::sleep(time).await;
                    inner.list(prefix.as_ref())
                };
                later.into_stream().flatten().boxed()
            }
            _ => inner.list(prefix.as_ref()),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let faults = self.faults();
        let fault = faults.next(Operation::List)?;
        match fault {
            Some(Fault::Error | Fault::LostAnswer) => return Err(broken("it was told to fail")),
            Some(Fault::Delay(time)) => rt::time::sleep(time).await,
            Some(Fault::LostList) | None => {}
        }
        let mut list = self.inner.list_with_delimiter(prefix).await?;
        if fault == Some(Fault::LostList) {
            list.common_prefixes.clear();
            list.objects.clear();
        }
        Ok(list)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    faults: Faults,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (faults, put) = (self.faults.clone(), self.inner.put_part(data));
        async move { faults.around(Operation::Part, put).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.faults.clone().around(Operation::Complete, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
pub(crate) use of_this_crate::{indexed_block, tenant_bucket};

#[cfg(test)]
mod of_this_crate {
    use std::sync::Arc;

    use model::TenantId;
    use model::env::ManualClock;
    use object_store::memory::InMemory;
    use rt::Metrics;

    use crate::{Bucket, BucketMetrics, IndexedBlock, TenantBucket};

    /// The bucket of the tenant `t`, over memory.
    pub(crate) fn tenant_bucket() -> TenantBucket {
        let metrics = BucketMetrics::new(&Metrics::new(), "test");
        let clock = Arc::new(ManualClock::new(5_000));
        let bucket = Bucket::over(Arc::new(InMemory::new()), "", clock, metrics);
        TenantBucket::new(bucket, TenantId::new("t").unwrap())
    }

    /// A block as a bucket index lists it, over `[10, 20)`.
    pub(crate) fn indexed_block(id: u128) -> IndexedBlock {
        IndexedBlock {
            id: ulid::Ulid(id),
            min_time_ms: 10,
            max_time_ms: 20,
            segments_format: crate::SegmentsFormat::OneBasedSixDigits,
            segments_num: 1,
            uploaded_at: 1_700_000_000,
            compactor_shard_id: String::new(),
            source: "compactor".to_owned(),
            compaction_level: 3,
            out_of_order: false,
            labels: std::collections::BTreeMap::new(),
        }
    }
}
