//! The protocol of the server:
//! [RESP](https://redis.io/docs/latest/develop/reference/protocol-spec/), versions 2 and 3.

mod parser;
mod value;
pub(crate) use parser::{Malformed, Parser};
pub(crate) use value::Value;

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
