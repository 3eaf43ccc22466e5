//! A stream of bytes to a server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::fault::{Fault, Stop};
use crate::sys;
use crate::url::{Address, Url};

/// How long a server may be silent before its connection is given up.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

/// How often a blocking read or write comes back, so that its thread can see to signals.
pub(crate) const SLICE: Duration = Duration::from_millis(400);

/// Called whenever a call has waited for a while, and after signals.
pub(crate) type Pause<'a> = &'a mut dyn FnMut() -> Result<(), Stop>;

#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Transport {
    /// Connects. Reads and writes come back every [`SLICE`].
    pub(crate) fn connect(
        url: &Url,
        address: &Address,
        pause: Pause<'_>,
    ) -> Result<Transport, Fault> {
        match address {
            Address::Unix(path) => {
                let stream = connect_unix(path)?;
                stream.set_read_timeout(Some(SLICE))?;
                stream.set_write_timeout(Some(SLICE))?;
                Ok(Transport::Unix(stream))
            }
            Address::Tcp { host, port } => {
                let stream = connect_tcp(host, *port, pause)?;
                if url.tls { Ok(encrypt(url, host, stream)?) } else { Ok(Transport::Tcp(stream)) }
            }
        }
    }

    /// Begins to connect. Nothing waits; what fails later shows when it is read. `found`: what the
    /// host was looked up to. `turn` counts the attempts, which begin with another of them each.
    pub(crate) fn begin(
        url: &Url,
        address: &Address,
        found: &[SocketAddr],
        turn: usize,
    ) -> Result<Transport, Fault> {
        match address {
            Address::Unix(path) => {
                let stream = connect_unix(path)?;
                stream.set_nonblocking(true)?;
                Ok(Transport::Unix(stream))
            }
            Address::Tcp { host, .. } => {
                let address = found.get(turn % found.len().max(1)).ok_or_else(no_address)?;
                let stream = TcpStream::from(begin_tcp(*address)?);
                stream.set_nodelay(true)?;
                if url.tls { Ok(encrypt(url, host, stream)?) } else { Ok(Transport::Tcp(stream)) }
            }
        }
    }

    /// Whether output is worth a try once the socket can be written to.
    pub(crate) fn takes_output(&self) -> bool {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => true,
            // Until both sides have a key, it is the other side's turn.
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => !stream.conn.is_handshaking() || stream.conn.wants_write(),
        }
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the host has no address")
}

/// Where the queue of the socket is full, connecting would sleep, signals or not.
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(UnixStream::from(socket))
}

/// Tries the addresses of a host in turn. Looking them up cannot be interrupted.
fn connect_tcp(host: &str, port: u16, pause: Pause<'_>) -> Result<TcpStream, Fault> {
    let mut last = Fault::Io(no_address());
    for address in (host, port).to_socket_addrs()? {
        match connect_to(address, pause) {
            Ok(stream) => return Ok(stream),
            Err(Fault::Stopped(stop)) => return Err(Fault::Stopped(stop)),
            Err(fault) => last = fault,
        }
        pause()?;
    }
    Err(last)
}

/// A socket that does not block, and connects.
fn begin_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // That the other side has gone without a word shows within 15 s.
    let seconds = Duration::from_secs;
    let keepalive = TcpKeepalive::new().with_time(seconds(5)).with_interval(seconds(3));
    socket.set_tcp_keepalive(&keepalive.with_retries(3))?;
    socket.set_tcp_user_timeout(Some(seconds(15)))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn connect_to(address: SocketAddr, pause: Pause<'_>) -> Result<TcpStream, Fault> {
    let socket = begin_tcp(address)?;
    let end = Instant::now() + SILENCE;
    while !sys::is_writable(socket.as_fd(), SLICE) {
        pause()?;
        if Instant::now() >= end {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT).into());
        }
    }
    if let Some(error) = socket.take_error()? {
        return Err(error.into());
    }
    socket.set_nonblocking(false)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SLICE))?;
    stream.set_write_timeout(Some(SLICE))?;
    Ok(stream)
}

#[cfg(not(feature = "tls"))]
fn encrypt(_: &Url, _: &str, _: TcpStream) -> io::Result<Transport> {
    let why = "encrypted connections (rediss://) need nob-ipc-redis with its feature `tls`";
    Err(io::Error::new(io::ErrorKind::Unsupported, why))
}

#[cfg(feature = "tls")]
fn encrypt(url: &Url, host: &str, stream: TcpStream) -> io::Result<Transport> {
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    let fail = |error: &dyn std::fmt::Display| io::Error::other(format!("TLS: {error}"));
    let mut roots = RootCertStore::empty();
    if let Some(path) = &url.cafile {
        let unreadable =
            |error| fail(&format_args!("cannot use cafile {}: {error}", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            roots.add(certificate.map_err(unreadable)?).map_err(|error| fail(&error))?;
        }
        if roots.is_empty() {
            return Err(fail(&format_args!("cafile {} has no certificate", path.display())));
        }
    } else {
        // What of the system's store cannot be read is not trusted.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(fail(&"the system has no root certificates; give cafile= in the URL"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_string()).map_err(|error| fail(&error))?;
    let client = ClientConnection::new(Arc::new(config), name).map_err(|error| fail(&error))?;
    Ok(Transport::Tls(Box::new(StreamOwned::new(client, stream))))
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.read(buffer),
            Transport::Unix(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.write(bytes),
            Transport::Unix(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Tcp(_) | Transport::Unix(_) => Ok(()),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Tcp(stream) => stream.as_fd(),
            Transport::Unix(stream) => stream.as_fd(),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.sock.as_fd(),
        }
    }
}
