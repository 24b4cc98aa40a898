//! memcached's text protocol over one connection: the three commands that the cache needs.
//!
//! ```text
//! get <key> <key>\r\n             -> (VALUE <key> <flags> <bytes>\r\n <data>\r\n)* END\r\n
//! set <key> 0 <ttl> <bytes>\r\n <data>\r\n  -> STORED\r\n
//! delete <key>\r\n                -> DELETED\r\n | NOT_FOUND\r\n
//! ```
//!
//! After any failure but [`Failure::Refused`] the connection is out of step and must be closed.

use std::io;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufStream};

use crate::cache::CacheKey;

/// A server that announces a larger value is not believed, bytes.
pub(super) const MAX_VALUE_BYTES: usize = 1 << 30;
/// The longest line of an answer, bytes: a key of 250, a flag, a size.
const MAX_LINE_BYTES: u64 = 2048;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No connection in time.
    #[error("connecting timed out")]
    ConnectTimeout,
    /// No answer in time.
    #[error("timed out")]
    Timeout,
    /// The connection broke, or could not be made.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// The server refused; the connection is fine.
    #[error("refused: {0}")]
    Refused(String),
    /// The server answered something else.
    #[error("unexpected answer: {0}")]
    Protocol(String),
    /// The server is left alone for now; nothing was sent.
    #[error("left alone for now")]
    CircuitOpen,
}

impl Failure {
    /// The label `reason` of the metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::ConnectTimeout => "connect-timeout",
            Self::Timeout => "request-timeout",
            Self::Network(_) => "network-error",
            Self::Refused(_) => "server-error",
            Self::Protocol(_) | Self::CircuitOpen => "other",
        }
    }

    /// Whether the server is there and understood the request.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// One connection.
pub(super) struct Connection<S> {
    stream: BufStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: BufStream::new(stream) }
    }

    /// The values of `keys` in their order.
    pub(super) async fn get_multi(
        &mut self,
        keys: &[&CacheKey],
    ) -> Result<Vec<Option<Bytes>>, Failure> {
        let mut command = String::from("get");
        for key in keys {
            command.push(' ');
            command.push_str(key.as_str());
        }
        command.push_str("\r\n");
        self.stream.write_all(command.as_bytes()).await?;
        self.stream.flush().await?;
        let mut found: HashMap<String, Bytes> = HashMap::with_capacity(keys.len());
        loop {
            let line = self.line().await?;
            if line == "END" {
                break;
            }
            let (key, bytes) = value_header(&line)?;
            if !keys.iter().any(|asked| asked.as_str() == key) {
                return Err(Failure::Protocol(format!(
                    "value of {key:?}, which was not asked for"
                )));
            }
            let value = self.value(bytes).await?;
            found.insert(key, value);
        }
        Ok(keys.iter().map(|key| found.get(key.as_str()).cloned()).collect())
    }

    /// Keeps a value.
    pub(super) async fn set(
        &mut self,
        key: &CacheKey,
        value: &[u8],
        ttl_seconds: u64,
    ) -> Result<(), Failure> {
        let command = format!("set {} 0 {ttl_seconds} {}\r\n", key.as_str(), value.len());
        self.stream.write_all(command.as_bytes()).await?;
        self.stream.write_all(value).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await?;
        self.expect(&["STORED"]).await
    }

    /// Forgets a value.
    pub(super) async fn delete(&mut self, key: &CacheKey) -> Result<(), Failure> {
        let command = format!("delete {}\r\n", key.as_str());
        self.stream.write_all(command.as_bytes()).await?;
        self.stream.flush().await?;
        self.expect(&["DELETED", "NOT_FOUND"]).await
    }

    async fn expect(&mut self, answers: &[&str]) -> Result<(), Failure> {
        let line = self.line().await?;
        if answers.contains(&line.as_str()) { Ok(()) } else { Err(refusal(line)) }
    }

    /// One line without its end.
    async fn line(&mut self) -> Result<String, Failure> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_LINE_BYTES);
        read_line(&mut limited, &mut line).await?;
        let text = line.strip_suffix(b"\r\n").map(<[u8]>::to_vec).map(String::from_utf8);
        match text {
            Some(Ok(text)) => Ok(text),
            _ if line.is_empty() => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Err(Failure::Protocol(String::from_utf8_lossy(&line).into_owned())),
        }
    }

    async fn value(&mut self, bytes: usize) -> Result<Bytes, Failure> {
        let mut value = Vec::new();
        // Grows with what comes, not with what was announced.
        (&mut self.stream).take(bytes as u64).read_to_end(&mut value).await?;
        let mut end = [0; 2];
        self.stream.read_exact(&mut end).await?;
        if value.len() != bytes || &end != b"\r\n" {
            return Err(Failure::Protocol("a value of another length".to_owned()));
        }
        Ok(value.into())
    }
}

async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> Result<(), io::Error> {
    from.read_until(b'\n', line).await.map(|_| ())
}

/// Key and size of `VALUE <key> <flags> <bytes>`.
fn value_header(line: &str) -> Result<(String, usize), Failure> {
    let mut words = line.split(' ');
    let (Some("VALUE"), Some(key), Some(_flags), Some(bytes)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(refusal(line.to_owned()));
    };
    match bytes.parse() {
        Ok(bytes) if bytes <= MAX_VALUE_BYTES => Ok((key.to_owned(), bytes)),
        _ => Err(Failure::Protocol(line.to_owned())),
    }
}

/// An answer that is not the one hoped for.
fn refusal(line: String) -> Failure {
    // After SERVER_ERROR for a value that is too large the server has swallowed the value.
    if line.starts_with("SERVER_ERROR") || line == "NOT_STORED" {
        Failure::Refused(line)
    } else {
        Failure::Protocol(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `get a b` makes of an answer.
    async fn get(answer: &str) -> Result<Vec<Option<Bytes>>, Failure> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        theirs.write_all(answer.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let (a, b) = (CacheKey::new("k", "a"), CacheKey::new("k", "b"));
        let result = Connection::new(ours).get_multi(&[&a, &b]).await;
        let mut sent = String::new();
        theirs.read_to_string(&mut sent).await.unwrap();
        assert_eq!(sent, "get k:a k:b\r\n");
        result
    }

    #[tokio::test]
    async fn values_come_in_any_order() {
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        assert_eq!(get("END\r\n").await.unwrap(), [None, None]);
        let both = "VALUE k:b 0 4\r\n1\r\n2\r\nVALUE k:a 7 0\r\n\r\nEND\r\n";
        assert_eq!(get(both).await.unwrap(), [value(""), value("1\r\n2")]);
    }

    #[tokio::test]
    async fn anything_else_is_a_failure() {
        for answer in [
            "",
            "END",
            "END\n",
            "VALUE k:a 0 4\r\n12",
            "VALUE k:a 0 4\r\n1234END\r\n",
            "VALUE k:a 0 1\r\n1234\r\nEND\r\n",
            "VALUE k:c 0 1\r\n1\r\nEND\r\n",
            "VALUE k:a 0 -1\r\n\r\nEND\r\n",
            "VALUE k:a 0 99999999999999\r\n\r\nEND\r\n",
            "VALUE k:a 0\r\nEND\r\n",
            "ERROR\r\n",
            "\u{1}\r\n",
        ] {
            let failure = get(answer).await.unwrap_err();
            assert!(!failure.is_answer(), "{answer:?}: {failure}");
        }
        assert!(get(&"x".repeat(5000)).await.is_err());
        assert!(get("SERVER_ERROR out of memory\r\n").await.unwrap_err().is_answer());
    }
}
