//! Messages of Mimir's services, with its field numbers. Names of messages and fields are those of
//! the wire's definition; what the fields mean stands with those who use them.

pub(crate) mod common;
pub(crate) mod ingester;
pub(crate) mod store_gateway;
