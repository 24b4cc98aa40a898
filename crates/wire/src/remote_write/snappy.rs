//! The snappy block around a request, with a bound on what it may expand to.

/// Why a body could not be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// The block says that it holds more bytes than are allowed.
    #[error("decompressed size of {size_bytes} bytes is larger than {max_bytes} bytes")]
    TooLarge {
        /// What the block says.
        size_bytes: usize,
        /// What is allowed.
        max_bytes: usize,
    },
    /// The block is damaged.
    #[error("snappy: corrupt input")]
    Corrupt,
}

/// Decompresses the snappy block `body` into `out`, whose memory is reused. The size that the
/// block announces is checked before anything is allocated.
pub fn decompress(body: &[u8], max_bytes: usize, out: &mut Vec<u8>) -> Result<(), SnappyError> {
    let size_bytes = decompressed_len(body, max_bytes)?;
    out.resize(size_bytes, 0);
    let written =
        snap::raw::Decoder::new().decompress(body, out).map_err(|_| SnappyError::Corrupt)?;
    debug_assert_eq!(written, size_bytes);
    Ok(())
}

/// The size that a block will have, as it says itself; an error where that is more than `max_bytes`
/// or cannot be.
pub fn decompressed_len(body: &[u8], max_bytes: usize) -> Result<usize, SnappyError> {
    let size_bytes = snap::raw::decompress_len(body).map_err(|_| SnappyError::Corrupt)?;
    if size_bytes > max_bytes {
        return Err(SnappyError::TooLarge { size_bytes, max_bytes });
    }
    // A block cannot expand by more than this; a larger claim is a lie, not worth its memory.
    if size_bytes / 64 > body.len() {
        return Err(SnappyError::Corrupt);
    }
    Ok(size_bytes)
}
