//! The request of remote read.

use model::{MatchOp, TimestampMs};

use crate::remote_write::DecodeError;
use crate::remote_write::protobuf::{Reader, WireType};

/// A decoded request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadRequest {
    /// What is asked.
    pub queries: Vec<ReadQuery>,
    /// Numbers of the kinds of answers that the client takes, the best first.
    pub accepted_response_types: Vec<u64>,
}

/// One selection of series over a range of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadQuery {
    /// First moment, ms.
    pub start_ms_incl: TimestampMs,
    /// Last moment, ms.
    pub end_ms_incl: TimestampMs,
    /// What the series' labels must satisfy.
    pub matchers: Vec<ReadMatcher>,
    /// First moment that is needed, ms; 0 = not said.
    pub hint_start_ms: TimestampMs,
    /// Last moment that is needed, ms; 0 = not said.
    pub hint_end_ms: TimestampMs,
}

/// A matcher as it stands in the request; a regular expression is not compiled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadMatcher {
    /// How it compares; `None` for a number that nobody knows.
    pub op: Option<MatchOp>,
    /// The label's name.
    pub name: String,
    /// What it compares with.
    pub value: String,
}

/// A kind of answer. Numbers are those of the wire: keep stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum ResponseType {
    /// One message with samples.
    Samples = 0,
    /// A stream of frames with chunks.
    StreamedXorChunks = 1,
}

impl ReadRequest {
    /// The first kind that the client names and that is known; samples where it names none.
    /// `None` when it names only others.
    pub fn response_type(&self) -> Option<ResponseType> {
        let known = |number: &u64| match number {
            0 => Some(ResponseType::Samples),
            1 => Some(ResponseType::StreamedXorChunks),
            _ => None,
        };
        if self.accepted_response_types.is_empty() {
            return Some(ResponseType::Samples);
        }
        self.accepted_response_types.iter().find_map(known)
    }
}

/// Decodes an uncompressed `ReadRequest`. What it takes is proportional to `body`.
pub fn decode_request(body: &[u8]) -> Result<ReadRequest, DecodeError> {
    let mut request = ReadRequest::default();
    let mut reader = Reader::new(body);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Bytes, "ReadRequest", field)?;
                request.queries.push(decode_query(reader.bytes()?)?);
            }
            2 => push_types(&mut request.accepted_response_types, &mut reader, wire_type)?,
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(request)
}

/// A repeated enum, packed or one by one.
fn push_types(
    out: &mut Vec<u64>,
    reader: &mut Reader<'_>,
    wire_type: WireType,
) -> Result<(), DecodeError> {
    if wire_type == WireType::Varint {
        out.push(reader.varint()?);
        return Ok(());
    }
    wire_type.expect(WireType::Bytes, "ReadRequest", 2)?;
    let mut packed = Reader::new(reader.bytes()?);
    while !packed.rest().is_empty() {
        out.push(packed.varint()?);
    }
    Ok(())
}

fn decode_query(message: &[u8]) -> Result<ReadQuery, DecodeError> {
    const NAME: &str = "Query";
    let mut query = ReadQuery::default();
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 | 2 => {
                wire_type.expect(WireType::Varint, NAME, field)?;
                let time_ms = reader.varint()? as i64;
                let end =
                    if field == 1 { &mut query.start_ms_incl } else { &mut query.end_ms_incl };
                *end = time_ms;
            }
            3 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                query.matchers.push(decode_matcher(reader.bytes()?)?);
            }
            4 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                decode_hints(reader.bytes()?, &mut query)?;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(query)
}

fn decode_matcher(message: &[u8]) -> Result<ReadMatcher, DecodeError> {
    const NAME: &str = "LabelMatcher";
    let mut number = 0;
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Varint, NAME, field)?;
                number = reader.varint()?;
            }
            2 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                name = reader.string("matcher name")?;
            }
            3 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                value = reader.string("matcher value")?;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    let op = match number {
        0 => Some(MatchOp::Equal),
        1 => Some(MatchOp::NotEqual),
        2 => Some(MatchOp::Regex),
        3 => Some(MatchOp::NotRegex),
        _ => None,
    };
    Ok(ReadMatcher { op, name: name.to_owned(), value: value.to_owned() })
}

/// Only the times matter: what surrounds the selector changes no sample.
fn decode_hints(message: &[u8], query: &mut ReadQuery) -> Result<(), DecodeError> {
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            3 | 4 => {
                wire_type.expect(WireType::Varint, "ReadHints", field)?;
                let time_ms = reader.varint()? as i64;
                let end =
                    if field == 3 { &mut query.hint_start_ms } else { &mut query.hint_end_ms };
                *end = time_ms;
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(())
}
