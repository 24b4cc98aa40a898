//! All open TSDBs of the process, by tenant. Looked up by every push and every query; changed
//! when a tenant comes for the first time or goes.

use std::sync::Arc;

use hashbrown::HashMap;
use model::TenantId;
use parking_lot::{Mutex, RwLock};

use crate::tenant::Tenant;

/// The open TSDBs.
#[derive(Default)]
pub(crate) struct Tenants {
    map: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    /// Held while a TSDB is opened or its directory deleted: a directory must never be open twice.
    /// The value says whether new ones are taken.
    change: Mutex<IsClosed>,
}

type IsClosed = bool;

/// Why a tenant has no TSDB.
pub(crate) enum NotCreated<E> {
    /// The process takes no new tenants any more.
    Closed,
    /// It could not be opened.
    Failed(E),
}

impl Tenants {
    /// The tenant, if its TSDB is open.
    pub(crate) fn get(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.map.read().get(id).cloned()
    }

    /// All tenants, in order of their ids.
    pub(crate) fn all(&self) -> Vec<Arc<Tenant>> {
        let mut all: Vec<Arc<Tenant>> = self.map.read().values().cloned().collect();
        all.sort_by(|a, b| a.id().cmp(b.id()));
        all
    }

    /// The number of tenants.
    pub(crate) fn len(&self) -> usize {
        self.map.read().len()
    }

    /// Series in memory, over all tenants.
    pub(crate) fn series(&self) -> u64 {
        self.map.read().values().map(|tenant| tenant.db().head().series_count()).sum()
    }

    /// The tenant; `open` is called, by one thread at a time, where there is none. It is handed
    /// the number of tenants.
    pub(crate) fn get_or_create<E>(
        &self,
        id: &TenantId,
        open: impl FnOnce(usize) -> Result<Tenant, E>,
    ) -> Result<Arc<Tenant>, NotCreated<E>> {
        if let Some(tenant) = self.get(id) {
            return Ok(tenant);
        }
        let is_closed = self.change.lock();
        if let Some(tenant) = self.get(id) {
            return Ok(tenant);
        }
        if *is_closed {
            return Err(NotCreated::Closed);
        }
        let tenant = Arc::new(open(self.len()).map_err(NotCreated::Failed)?);
        self.insert(Arc::clone(&tenant));
        Ok(tenant)
    }

    /// Adds a TSDB that was opened at the start.
    pub(crate) fn insert(&self, tenant: Arc<Tenant>) {
        self.map.write().insert(tenant.id().clone(), tenant);
    }

    /// Calls `delete` while nobody opens a TSDB, and forgets the tenant.
    pub(crate) fn remove_with<T>(&self, id: &TenantId, delete: impl FnOnce() -> T) -> T {
        let _change = self.change.lock();
        let result = delete();
        self.map.write().remove(id);
        result
    }

    /// From now on no tenant is added. Returns when none is being added.
    pub(crate) fn close(&self) {
        *self.change.lock() = true;
    }

    /// Forgets all tenants.
    pub(crate) fn clear(&self) {
        self.map.write().clear();
    }
}
