//! Wire types and codecs, and the client traits where components meet.
//!
//! In one process the traits of [`client`] are plain calls without serialisation; between
//! processes they will be carried by gRPC. Nothing here knows a component.

pub mod client;
mod protobuf_writer;
pub mod remote_read;
pub mod remote_write;
