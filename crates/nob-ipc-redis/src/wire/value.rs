//! What a server says.

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
