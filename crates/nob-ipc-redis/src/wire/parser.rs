//! Reads what a server says, from pieces of any size.

use std::fmt;

use super::value::Value;

/// How deep lists may be nested. Replies that we ask for are three deep at the most.
const MAX_DEPTH: usize = 16;

/// How long a string may be: the server's own limit.
const MAX_STRING: usize = 512 << 20;

/// How many items a list may have.
const MAX_ITEMS: usize = 4 << 20;

/// How long a line may be that has neither a string nor a list after it.
const MAX_LINE: usize = 64 << 10;

/// How many places for items are made before there are items.
const FIRST_ROOM: usize = 64;

/// How much room a string gets before its bytes have come.
const FIRST_BYTES: usize = 64 << 10;

/// What came is not of the protocol, or beyond a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its answer is not of the Redis protocol ({})", self.0)
    }
}

/// Which list is being read, and what it becomes.
#[derive(Clone, Copy, Debug)]
enum Shape {
    List,
    Push,
    /// Describes the value after it, and is dropped.
    Attribute,
}

#[derive(Debug)]
struct Open {
    shape: Shape,
    missing: usize,
    items: Vec<Value>,
}

/// Where the parser stands between two pieces.
#[derive(Debug)]
enum State {
    /// Before, or within, a line.
    Line,
    /// Within a string of a known length, which its end of line follows.
    String { missing: usize, kind: u8 },
    /// Behind a string.
    End,
}

/// Takes bytes as they come and gives values. It never looks at a byte of a string twice, and it
/// uses no stack for nested lists.
#[derive(Debug)]
pub(crate) struct Parser {
    state: State,
    /// The line or string that has not come to its end.
    partial: Vec<u8>,
    /// What the string is that waits for its end of line.
    finished: Option<Value>,
    open: Vec<Open>,
}

impl Parser {
    pub(crate) fn new() -> Parser {
        Parser { state: State::Line, partial: Vec::new(), finished: None, open: Vec::new() }
    }

    /// The next value, if it ends within `input`, from which the bytes that were used are taken.
    /// Without a value, all of the input is used.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Value>, Malformed> {
        loop {
            let value = match self.state {
                State::Line => {
                    let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
                        self.keep_line(input)?;
                        *input = &[];
                        return Ok(None);
                    };
                    self.keep_line(&input[..end])?;
                    *input = &input[end + 1..];
                    let line = std::mem::take(&mut self.partial);
                    let Some(line) = line.strip_suffix(b"\r") else {
                        return Err(Malformed("a line does not end in CR LF"));
                    };
                    self.line(line)?
                }
                State::String { missing, kind } => {
                    let here = missing.min(input.len());
                    self.partial.extend_from_slice(&input[..here]);
                    *input = &input[here..];
                    if here < missing {
                        self.state = State::String { missing: missing - here, kind };
                        return Ok(None);
                    }
                    let bytes = std::mem::take(&mut self.partial);
                    self.finished = Some(string(kind, bytes)?);
                    self.state = State::End;
                    None
                }
                State::End => {
                    let here = (2 - self.partial.len()).min(input.len());
                    self.partial.extend_from_slice(&input[..here]);
                    *input = &input[here..];
                    if !b"\r\n".starts_with(&self.partial) {
                        return Err(Malformed("a string is longer than it says"));
                    }
                    if self.partial.len() < 2 {
                        return Ok(None);
                    }
                    self.partial.clear();
                    self.state = State::Line;
                    self.finished.take()
                }
            };
            if let Some(value) = value
                && let Some(value) = self.close(value)
            {
                return Ok(Some(value));
            }
        }
    }

    fn keep_line(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        if self.partial.len() + piece.len() > MAX_LINE {
            return Err(Malformed("a line is too long"));
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }

    /// What a line is by itself; `None` when it begins a string or a list with items.
    fn line(&mut self, line: &[u8]) -> Result<Option<Value>, Malformed> {
        let Some((&kind, rest)) = line.split_first() else {
            return Err(Malformed("a line is empty"));
        };
        Ok(match kind {
            b'+' | b',' | b'(' => Some(Value::Bytes(rest.to_vec())),
            b'-' => Some(Value::Error(String::from_utf8_lossy(rest).into_owned())),
            b':' => Some(Value::Integer(number(rest)?)),
            b'_' if rest.is_empty() => Some(Value::Nil),
            b'#' => match rest {
                b"t" => Some(Value::Integer(1)),
                b"f" => Some(Value::Integer(0)),
                _ => return Err(Malformed("a truth value is neither t nor f")),
            },
            b'$' | b'=' | b'!' => {
                if kind == b'$' && rest == b"-1" {
                    return Ok(Some(Value::Nil));
                }
                let missing = length(rest, MAX_STRING)?;
                self.partial = Vec::with_capacity(missing.min(FIRST_BYTES));
                self.state = State::String { missing, kind };
                None
            }
            b'*' | b'~' | b'%' | b'>' | b'|' => {
                if kind == b'*' && rest == b"-1" {
                    return Ok(Some(Value::Nil));
                }
                let pairs = matches!(kind, b'%' | b'|');
                let missing = length(rest, MAX_ITEMS)? * if pairs { 2 } else { 1 };
                let shape = match kind {
                    b'>' => Shape::Push,
                    b'|' => Shape::Attribute,
                    _ => Shape::List,
                };
                if self.open.len() == MAX_DEPTH {
                    return Err(Malformed("lists are nested too deeply"));
                }
                let items = Vec::with_capacity(missing.min(FIRST_ROOM));
                self.open.push(Open { shape, missing, items });
                if missing == 0 { self.pop() } else { None }
            }
            _ => return Err(Malformed("a line begins with an unknown mark")),
        })
    }

    /// Puts a value into the list that is open; what that completes, if it is a value of its own.
    fn close(&mut self, mut value: Value) -> Option<Value> {
        while let Some(open) = self.open.last_mut() {
            open.items.push(value);
            open.missing -= 1;
            if open.missing > 0 {
                return None;
            }
            value = self.pop()?;
        }
        Some(value)
    }

    /// Ends the innermost list; `None` for an attribute, which is no value.
    fn pop(&mut self) -> Option<Value> {
        let Open { shape, items, .. } = self.open.pop()?;
        match shape {
            Shape::List => Some(Value::List(items)),
            Shape::Push => Some(Value::Push(items)),
            Shape::Attribute => None,
        }
    }
}

/// What a string with a length is.
fn string(kind: u8, bytes: Vec<u8>) -> Result<Value, Malformed> {
    match kind {
        b'!' => Ok(Value::Error(String::from_utf8_lossy(&bytes).into_owned())),
        // Three letters and a colon say how the text is meant to be shown.
        b'=' => match bytes.split_at_checked(4) {
            Some((form, text)) if form.ends_with(b":") => Ok(Value::Bytes(text.to_vec())),
            _ => Err(Malformed("a verbatim string does not say its form")),
        },
        _ => Ok(Value::Bytes(bytes)),
    }
}

fn number(digits: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(digits).ok();
    text.and_then(|text| text.parse().ok()).ok_or(Malformed("a number is none"))
}

fn length(digits: &[u8], limit: usize) -> Result<usize, Malformed> {
    let length = usize::try_from(number(digits)?).ok().filter(|&length| length <= limit);
    length.ok_or(Malformed("a length is out of range"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis_protocol::resp3::decode::complete::decode;
    use redis_protocol::resp3::types::OwnedFrame;

    use super::*;

    /// All values of the bytes, given in pieces of this length.
    fn values(bytes: &[u8], piece: usize) -> Result<Vec<Value>, Malformed> {
        let mut parser = Parser::new();
        let mut found = Vec::new();
        for mut input in bytes.chunks(piece) {
            while let Some(value) = parser.next(&mut input)? {
                found.push(value);
            }
            assert!(input.is_empty());
        }
        Ok(found)
    }

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.into())
    }

    #[test]
    fn all_types_in_pieces_of_all_lengths() {
        let input =
            b"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n_\r\n#t\r\n,1.5\r\n(123\r\n\
            =7\r\ntxt:a b\r\n!5\r\nBAD x\r\n*2\r\n*0\r\n$0\r\n\r\n%1\r\n+k\r\n:1\r\n~1\r\n+s\r\n\
            >2\r\n+smessage\r\n$1\r\nx\r\n|1\r\n+ttl\r\n:3\r\n*1\r\n|1\r\n+a\r\n+b\r\n:9\r\n";
        let expected = vec![
            bytes("OK"),
            Value::Error("ERR no".into()),
            Value::Integer(-7),
            bytes("a\r\n"),
            Value::Nil,
            Value::Nil,
            Value::Nil,
            Value::Integer(1),
            bytes("1.5"),
            bytes("123"),
            bytes("a b"),
            Value::Error("BAD x".into()),
            Value::List(vec![Value::List(vec![]), bytes("")]),
            Value::List(vec![bytes("k"), Value::Integer(1)]),
            Value::List(vec![bytes("s")]),
            Value::Push(vec![bytes("smessage"), bytes("x")]),
            Value::List(vec![Value::Integer(9)]),
        ];
        for piece in 1..=input.len() {
            assert_eq!(values(input, piece).unwrap(), expected, "in pieces of {piece}");
        }
    }

    /// R32: the parser is bounded in depth and length, and refuses what is not of the
    /// protocol.
    #[test]
    fn what_is_not_of_the_protocol_is_refused() {
        for bad in [
            "\r\n",
            "?x\r\n",
            "+OK\n",
            ":1x\r\n",
            ":\r\n",
            "$-2\r\n",
            "*-2\r\n",
            "%-1\r\n",
            "$1\r\nab\r\n",
            "#x\r\n",
            "=2\r\nab\r\n",
            "$9999999999\r\n",
            "*99999999\r\n",
            "_x\r\n",
        ] {
            assert!(values(bad.as_bytes(), 1).is_err(), "{bad:?}");
        }
    }

    /// R32: the parser is bounded in depth and length, and refuses what is not of the
    /// protocol.
    #[test]
    fn depth_and_length_are_bounded() {
        assert!(values("*1\r\n".repeat(MAX_DEPTH).as_bytes(), 7).unwrap().is_empty());
        assert!(values("*1\r\n".repeat(MAX_DEPTH + 1).as_bytes(), 7).is_err());
        assert!(values("*1\r\n".repeat(100_000).as_bytes(), 4096).is_err());
        assert!(values(&vec![b'+'; MAX_LINE + 2], 4096).is_err());
        // Room is made for what comes, not for what is announced.
        assert!(values(b"$536870912\r\nabc", 4096).unwrap().is_empty());
    }

    #[test]
    fn a_large_reply_takes_time_in_proportion() {
        // A parser that began anew at each piece would look at 10^11 bytes.
        let mut input = b"*1000\r\n".to_vec();
        for _ in 0..1000 {
            input.extend_from_slice(b"$1000\r\n");
            input.extend_from_slice(&[b'x'; 1000]);
            input.extend_from_slice(b"\r\n");
        }
        let found = values(&input, 5).unwrap();
        assert_eq!(found[0].list().len(), 1000);
    }

    /// What the other implementation calls a value.
    fn of_frame(frame: OwnedFrame) -> Value {
        use OwnedFrame as F;
        let list = |items: Vec<F>| items.into_iter().map(of_frame).collect();
        match frame {
            F::BlobString { data, .. } | F::SimpleString { data, .. } => Value::Bytes(data),
            F::BlobError { data, .. } => Value::Error(String::from_utf8_lossy(&data).into_owned()),
            F::SimpleError { data, .. } => Value::Error(data),
            F::Boolean { data, .. } => Value::Integer(data.into()),
            F::Null => Value::Nil,
            F::Number { data, .. } => Value::Integer(data),
            F::Array { data, .. } => Value::List(list(data)),
            F::Push { data, .. } => Value::Push(list(data)),
            other => panic!("not generated: {other:?}"),
        }
    }

    fn any_value() -> impl Strategy<Value = Vec<u8>> {
        let string = prop::collection::vec(any::<u8>(), 0..40);
        let leaf = prop_oneof![
            string.prop_map(|bytes| {
                [format!("${}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat()
            }),
            any::<i64>().prop_map(|number| format!(":{number}\r\n").into_bytes()),
            "[ -~]{0,20}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
            "[ -~]{1,20}".prop_map(|text| format!("-{text}\r\n").into_bytes()),
            any::<bool>().prop_map(|yes| format!("#{}\r\n", if yes { 't' } else { 'f' }).into()),
            Just(b"_\r\n".to_vec()),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop::collection::vec(inner, 0..6).prop_map(|items| {
                [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat()
            })
        })
    }

    proptest! {
        #[test]
        fn another_implementation_reads_the_same(input in any_value(), piece in 1..64_usize) {
            let (frame, length) = decode(&input).unwrap().unwrap();
            prop_assert_eq!(length, input.len());
            prop_assert_eq!(values(&input, piece).unwrap(), vec![of_frame(frame)]);
        }

        #[test]
        fn no_bytes_do_harm(
            input in prop::collection::vec(any::<u8>(), 0..200), piece in 1..20_usize,
        ) {
            let all = values(&input, input.len().max(1));
            prop_assert_eq!(values(&input, piece).is_ok(), all.is_ok());
        }

        #[test]
        fn damaged_answers_do_no_harm(
            mut input in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let at = at.index(input.len());
            input[at] = byte;
            prop_assert_eq!(values(&input, 1).ok(), values(&input, 4096).ok());
        }
    }
}
