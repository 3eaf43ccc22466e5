//! A stream of bytes to a server.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::sys;
use crate::url::{Address, Url};

/// How often a blocking read or write comes back, so that its thread can see to signals.
pub(crate) const SLICE: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Transport {
    /// Connects, within this time for each of the host's addresses. Reads and writes come back
    /// every [`SLICE`].
    pub(crate) fn connect(url: &Url, address: &Address, time: Duration) -> io::Result<Transport> {
        match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(SLICE))?;
                stream.set_write_timeout(Some(SLICE))?;
                Ok(Transport::Unix(stream))
            }
            Address::Tcp { host, port } => {
                let stream = connect_tcp(host, *port, time)?;
                stream.set_nodelay(true)?;
                sys::notice_silence(stream.as_fd())?;
                stream.set_read_timeout(Some(SLICE))?;
                stream.set_write_timeout(Some(SLICE))?;
                if url.tls { encrypt(url, host, stream) } else { Ok(Transport::Tcp(stream)) }
            }
        }
    }

    /// Reads and writes that would wait come back at once from here on.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Transport::Tcp(stream) => stream.set_nonblocking(true),
            Transport::Unix(stream) => stream.set_nonblocking(true),
            #[cfg(feature = "tls")]
            Transport::Tls(stream) => stream.sock.set_nonblocking(true),
        }
    }
}

fn connect_tcp(host: &str, port: u16, time: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, time) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
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
