//! Object storage: the tenant layout of a blocks bucket, bucket index, markers, uploads.
