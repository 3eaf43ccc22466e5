//! The protocol of the server:
//! [RESP](https://redis.io/docs/latest/develop/reference/protocol-spec/), versions 2 and 3.

mod parser;
pub(crate) use parser::{Malformed, Parser};

/// What a server says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// No value.
    Nil,
    /// A number, or a truth value as 1 or 0.
    Integer(i64),
    /// Bytes; also what the protocol has as text, a fraction or a large number.
    Bytes(Vec<u8>),
    /// The server refuses; the first word is the reason.
    Error(String),
    /// A list. A map is the list of its keys and values.
    List(Vec<Value>),
    /// What nobody asked for: a message of a subscription.
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a string; none for anything else.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Value::Bytes(bytes) => bytes,
            _ => &[],
        }
    }

    /// The text of a string or number.
    pub(crate) fn text(&self) -> String {
        match self {
            Value::Integer(number) => number.to_string(),
            other => String::from_utf8_lossy(other.bytes()).into_owned(),
        }
    }

    /// A number, also one that is written as a string.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            other => std::str::from_utf8(other.bytes()).ok()?.parse().ok(),
        }
    }

    /// The items of a list; none for anything else.
    pub(crate) fn list(&self) -> &[Value] {
        match self {
            Value::List(items) | Value::Push(items) => items,
            _ => &[],
        }
    }

    /// The first item of a list: the word by which our scripts say what they have done.
    pub(crate) fn word(&self) -> &[u8] {
        self.list().first().map_or(&[], Value::bytes)
    }
}

/// Appends a command to what is to be sent.
pub(crate) fn encode<'a, I>(out: &mut Vec<u8>, arguments: I)
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: ExactSizeIterator,
{
    fn head(out: &mut Vec<u8>, mark: u8, number: usize) {
        out.push(mark);
        out.extend_from_slice(number.to_string().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let arguments = arguments.into_iter();
    head(out, b'*', arguments.len());
    for argument in arguments {
        head(out, b'$', argument.len());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut out = Vec::new();
        encode(&mut out, [&b"GET"[..], b"a\r\n", b""]);
        assert_eq!(out, b"*3\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n$0\r\n\r\n");
    }
}
