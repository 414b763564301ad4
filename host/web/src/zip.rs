//! An archive of stored files: PKWARE's APPNOTE.TXT, 4.3, without compression.

use crc::{CRC_32_ISO_HDLC, Crc};

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// Version 2.0, no flags, stored.
const VERSION_FLAGS_METHOD: [u16; 3] = [20, 0, 0];
/// Time and date of every file: the format's first day.
const TIME_DATE: [u16; 2] = [0, 1 << 5 | 1];

/// An archive that is being written.
#[derive(Debug, Default)]
pub(crate) struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    n_files: u16,
}

impl Zip {
    /// Adds a file.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) {
        let at = self.bytes.len() as u32;
        let mut header = Vec::new();
        put(&mut header, VERSION_FLAGS_METHOD.iter().chain(&TIME_DATE));
        let len = content.len() as u32;
        for word in [CRC.checksum(content), len, len] {
            header.extend(word.to_le_bytes());
        }
        // Length of the name, none of extra fields.
        put(&mut header, &[name.len() as u16, 0]);

        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend(&header);
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(content);

        self.directory.extend(b"PK\x01\x02");
        put(&mut self.directory, &VERSION_FLAGS_METHOD[..1]);
        self.directory.extend(&header);
        // No comment, first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(at.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.n_files += 1;
    }

    /// The archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let at = self.bytes.len() as u32;
        self.bytes.extend(&self.directory);
        self.bytes.extend(b"PK\x05\x06");
        put(&mut self.bytes, &[0, 0, self.n_files, self.n_files]);
        for word in [self.directory.len() as u32, at] {
            self.bytes.extend(word.to_le_bytes());
        }
        put(&mut self.bytes, &[0]);
        self.bytes
    }
}

fn put<'n>(bytes: &mut Vec<u8>, numbers: impl IntoIterator<Item = &'n u16>) {
    for number in numbers {
        bytes.extend(number.to_le_bytes());
    }
}
