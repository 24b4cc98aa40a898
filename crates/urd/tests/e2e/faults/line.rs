//! The line to a server, which can be cut: a port that hands everything on until it is told not to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// What happens to what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections break, and new ones are closed at once.
    Cut,
    /// Connections stay, and nothing arrives.
    Silent,
    /// The test is over.
    Over,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

/// A line to one server.
#[derive(Debug)]
pub(super) struct Line {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Line {
    /// A line to `port` of this machine.
    pub(super) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::Whole),
            changed: Condvar::new(),
            open: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || of_thread.accept(&listener, port));
        Self { address, shared }
    }

    /// Where others reach the server by this line.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Breaks all connections and lets no new ones through.
    pub(super) fn cut(&self) {
        self.shared.set(State::Cut);
        self.shared.close();
    }

    /// Lets nothing through, and tells nobody.
    pub(super) fn be_silent(&self) {
        self.shared.set(State::Silent);
    }

    /// Lets everything through again, also what has waited.
    pub(super) fn mend(&self) {
        self.shared.set(State::Whole);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.set(State::Over);
        self.shared.close();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
        self.changed.notify_all();
    }

    fn close(&self) {
        for connection in self.open.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// The state as soon as it is not silence.
    fn heard(&self) -> State {
        let state = self.state.lock().unwrap();
        *self.changed.wait_while(state, |state| *state == State::Silent).unwrap()
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, port: u16) {
        for near in listener.incoming() {
            match self.heard() {
                State::Over => return,
                State::Whole => {}
                State::Cut | State::Silent => continue,
            }
            let Ok(near) = near else { continue };
            let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            for (from, to) in [(&near, &far), (&far, &near)] {
                let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                let shared = Arc::clone(self);
                std::thread::spawn(move || shared.carry(from, to));
            }
            self.open.lock().unwrap().extend([near, far]);
        }
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if self.heard() != State::Whole || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}
