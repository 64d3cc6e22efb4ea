//! A client of the RESP port.
