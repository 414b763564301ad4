//! Parser of Python's pickle format that executes no code.
//!
//! A pickle is a program for a small stack machine. This one builds data only: a class is its name,
//! a call the name with its arguments. Supports `torch.save`'s opcodes, up to protocol 5.

use anyhow::{Context, Result, bail, ensure};
use std::collections::HashMap;

/// Most objects of a pickle: a checkpoint of diffusion_policy has some ten thousand.
const MAX_OBJECTS: usize = 1 << 21;

/// Longest text that is kept, bytes: names and settings are shorter.
const MAX_TEXT: usize = 1 << 12;

/// Bytes that the names of classes may take beside those of the pickle, and for each of its bytes:
/// a name can be put together any number of times from texts that are written once.
const FREE_NAME_BYTES: usize = 1 << 20;
const NAME_BYTES_A_BYTE: usize = 8;

/// Index of an object in a [`Pickle`]: objects may be shared and cyclic.
pub type Id = usize;

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Bytes, a text of more than 4096 bytes, or an integer of more than 64 bits: what is in them is
    /// not needed.
    Bytes,
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// `module.name`.
    Global(String),
    /// Unexecuted call of `function`, with the items added to its result.
    Call {
        function: Id,
        arguments: Id,
        items: Vec<(Id, Id)>,
        state: Option<Id>,
    },
    /// Reference to data outside the pickle.
    Persistent(Id),
}

impl Object {
    /// What the object is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a flag",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes => "bytes",
            Self::List(_) | Self::Tuple(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Global(_) => "a class",
            Self::Call { .. } | Self::Persistent(_) => "an object",
        }
    }
}

/// Objects of a pickle.
#[derive(Debug)]
pub struct Pickle {
    objects: Vec<Object>,
    root: Id,
}

impl Pickle {
    /// Parses a whole pickle.
    ///
    /// # Errors
    /// If it is truncated, malformed, or uses an opcode that `torch.save` does not write.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Ok(Self::parse_first(bytes)?.0)
    }

    /// Parses the pickle at the start of `bytes`; returns its length as well.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_first(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut machine = Machine {
            bytes,
            at: 0,
            objects: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            name_room: FREE_NAME_BYTES + NAME_BYTES_A_BYTE * bytes.len(),
        };
        loop {
            let at = machine.at;
            let [opcode] = machine.array()?;
            if opcode == b'.' {
                break;
            }
            machine
                .run(opcode)
                .with_context(|| format!("pickle, byte {at}"))?;
        }
        let root = machine.pop()?;
        let pickle = Self {
            objects: machine.objects,
            root,
        };
        Ok((pickle, machine.at))
    }

    /// Every object, in the order of the file.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Outermost object.
    pub fn root(&self) -> Id {
        self.root
    }

    /// The object `id`.
    pub fn get(&self, id: Id) -> &Object {
        &self.objects[id]
    }

    /// Entries of a dictionary, or of an object with items.
    pub fn entries(&self, id: Id) -> &[(Id, Id)] {
        match self.get(id) {
            Object::Dict(entries) | Object::Call { items: entries, .. } => entries,
            _ => &[],
        }
    }

    /// Value of a string key.
    pub fn item(&self, id: Id, key: &str) -> Option<Id> {
        let mut entries = self.entries(id).iter().rev();
        let found = entries.find(|(name, _)| self.text(*name) == Some(key));
        found.map(|(_, value)| *value)
    }

    /// Contents of a string object.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Elements of a list or tuple.
    pub fn elements(&self, id: Id) -> &[Id] {
        match self.get(id) {
            Object::List(elements) | Object::Tuple(elements) => elements,
            _ => &[],
        }
    }
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Bytes that names of classes may still take.
    name_room: usize,
}

impl<'b> Machine<'b> {
    fn run(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            0x80 => self.take(1).map(|_| ()),
            0x95 => self.take(8).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(|_| ()),
            b'1' => self.pop_to_mark().map(|_| ()),
            b'2' => {
                let top = *self.stack.last().context("stack is empty")?;
                self.stack.push(top);
                Ok(())
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.run_memo(opcode),
            b'N' => self.push(Object::None),
            0x88 => self.push(Object::Bool(true)),
            0x89 => self.push(Object::Bool(false)),
            b'J' | b'K' | b'M' | 0x8a | 0x8b | b'G' => self.run_number(opcode),
            b'X' | 0x8c | 0x8d | b'B' | b'C' | 0x8e | 0x96 => self.run_text(opcode),
            b'}' => self.push(Object::Dict(Vec::new())),
            b']' | 0x8f => self.push(Object::List(Vec::new())),
            b')' => self.push(Object::Tuple(Vec::new())),
            b't' | 0x85 | 0x86 | 0x87 | 0x91 => self.run_tuple(opcode),
            b'a' | b'e' | 0x90 => self.run_append(opcode),
            b's' | b'u' => self.run_set_items(opcode),
            b'c' | 0x93 | b'Q' => self.run_name(opcode),
            b'R' | 0x81 | 0x92 | b'b' => self.run_call(opcode),
            other => bail!(
                "opcode {other:#04x} is not supported, only those that torch.save writes (protocol 2 to 5)"
            ),
        }
    }

    fn run_memo(&mut self, opcode: u8) -> Result<()> {
        let key = match opcode {
            b'q' | b'h' => usize::from(self.array::<1>()?[0]),
            b'r' | b'j' => u32::from_le_bytes(self.array()?) as usize,
            _ => self.memo.len(),
        };
        if matches!(opcode, b'h' | b'j') {
            let id = *self.memo.get(&key).context("nothing under this key")?;
            self.stack.push(id);
        } else {
            let top = *self.stack.last().context("stack is empty")?;
            self.memo.insert(key, top);
        }
        Ok(())
    }

    fn run_number(&mut self, opcode: u8) -> Result<()> {
        let number = match opcode {
            b'J' => Object::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'K' => Object::Int(i64::from(self.array::<1>()?[0])),
            b'M' => Object::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'G' => Object::Float(f64::from_be_bytes(self.array()?)),
            _ => {
                let len = match opcode {
                    0x8a => usize::from(self.array::<1>()?[0]),
                    _ => u32::from_le_bytes(self.array()?) as usize,
                };
                let digits = self.take(len)?;
                if len > 8 {
                    return self.push(Object::Bytes);
                }
                let negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
                let mut padded = [if negative { 0xff } else { 0 }; 8];
                padded[..len].copy_from_slice(digits);
                Object::Int(i64::from_le_bytes(padded))
            }
        };
        self.push(number)
    }

    fn run_text(&mut self, opcode: u8) -> Result<()> {
        let len = match opcode {
            0x8c | b'C' => u64::from(self.array::<1>()?[0]),
            b'X' | b'B' => u64::from(u32::from_le_bytes(self.array()?)),
            _ => u64::from_le_bytes(self.array()?),
        };
        let bytes = self.take(usize::try_from(len)?)?;
        match opcode {
            b'B' | b'C' | 0x8e | 0x96 => self.push(Object::Bytes),
            _ if bytes.len() > MAX_TEXT => self.push(Object::Bytes),
            _ => self.push(Object::Text(std::str::from_utf8(bytes)?.to_owned())),
        }
    }

    fn run_tuple(&mut self, opcode: u8) -> Result<()> {
        let elements = match opcode {
            b't' | 0x91 => self.pop_to_mark()?,
            _ => {
                let len = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(len);
                self.stack.split_off(start.context("stack is empty")?)
            }
        };
        self.push(Object::Tuple(elements))
    }

    fn run_append(&mut self, opcode: u8) -> Result<()> {
        let new = match opcode {
            b'a' => vec![self.pop()?],
            _ => self.pop_to_mark()?,
        };
        let list = *self.stack.last().context("stack is empty")?;
        match &mut self.objects[list] {
            Object::List(elements) => elements.extend(new),
            // A class with list items, which are not needed.
            Object::Call { .. } => {}
            _ => bail!("appends to what is no list"),
        }
        Ok(())
    }

    fn run_set_items(&mut self, opcode: u8) -> Result<()> {
        let new = match opcode {
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_to_mark()?,
        };
        let dict = *self.stack.last().context("stack is empty")?;
        let pairs = new.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match &mut self.objects[dict] {
            Object::Dict(entries) | Object::Call { items: entries, .. } => entries.extend(pairs),
            _ => bail!("sets items of what is no dictionary"),
        }
        Ok(())
    }

    fn run_name(&mut self, opcode: u8) -> Result<()> {
        if opcode == b'Q' {
            let key = self.pop()?;
            return self.push(Object::Persistent(key));
        }
        let (module, name) = match opcode {
            b'c' => (self.line()?, self.line()?),
            _ => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.objects[module], &self.objects[name]) {
                    (Object::Text(module), Object::Text(name)) => (module.clone(), name.clone()),
                    _ => bail!("a name that is no text"),
                }
            }
        };
        let name = format!("{module}.{name}");
        let room = self.name_room.checked_sub(name.len());
        self.name_room = room.context("the names of classes are longer than the file allows")?;
        self.push(Object::Global(name))
    }

    fn run_call(&mut self, opcode: u8) -> Result<()> {
        let last = self.pop()?;
        if opcode == b'b' {
            let built = *self.stack.last().context("stack is empty")?;
            if let Object::Call { state, .. } = &mut self.objects[built] {
                *state = Some(last);
            }
            return Ok(());
        }
        // NEWOBJ_EX has keyword arguments on top of the stack; no supported class takes any.
        let arguments = if opcode == 0x92 { self.pop()? } else { last };
        let function = self.pop()?;
        self.push(Object::Call {
            function,
            arguments,
            items: Vec::new(),
            state: None,
        })
    }

    fn push(&mut self, object: Object) -> Result<()> {
        ensure!(
            self.objects.len() < MAX_OBJECTS,
            "more than {MAX_OBJECTS} objects, the most that are supported"
        );
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        self.stack.pop().context("pickle: stack is empty")
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().context("no mark")?;
        ensure!(mark <= self.stack.len(), "a mark past the stack");
        Ok(self.stack.split_off(mark))
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8]> {
        let rest = &self.bytes[self.at..];
        ensure!(len <= rest.len(), "pickle: cut off");
        self.at += len;
        Ok(&rest[..len])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(len.context("pickle: cut off")? + 1)?;
        Ok(std::str::from_utf8(&line[..line.len() - 1])?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": [1, -2, (True, None)], "b": 0.5}` in protocol 2.
    const SMALL: &[u8] = b"\x80\x02}q\x00(X\x01\0\0\0aq\x01]q\x02(K\x01J\xfe\xff\xff\xff\x88N\x86q\x03eX\x01\0\0\0bG\x3f\xe0\0\0\0\0\0\0u.";

    #[test]
    fn plain_data_is_read() {
        let pickle = Pickle::parse(SMALL).unwrap();
        let a = pickle.item(pickle.root(), "a").unwrap();
        let [one, minus_two, pair] = *pickle.elements(a) else {
            panic!("{:?}", pickle.get(a));
        };
        assert_eq!(pickle.get(one), &Object::Int(1));
        assert_eq!(pickle.get(minus_two), &Object::Int(-2));
        assert_eq!(pickle.get(pickle.elements(pair)[0]), &Object::Bool(true));
        let b = pickle.item(pickle.root(), "b").unwrap();
        assert_eq!(pickle.get(b), &Object::Float(0.5));
    }

    #[test]
    fn a_pickle_cut_off_anywhere_is_refused() {
        for len in 0..SMALL.len() {
            assert!(Pickle::parse(&SMALL[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn any_byte_may_be_wrong_without_a_panic() {
        for at in 0..SMALL.len() {
            for wrong in 0..=255 {
                let mut bytes = SMALL.to_vec();
                bytes[at] = wrong;
                let _ = Pickle::parse(&bytes);
            }
        }
    }

    /// 65 KB took 4 GB: a name of two long texts, again and again.
    #[test]
    fn names_of_classes_take_no_more_memory_than_the_file_allows() {
        let mut bytes = b"\x80\x04X".to_vec();
        bytes.extend(4000_u32.to_le_bytes());
        bytes.extend([b'm'; 4000]);
        bytes.extend(b"q\x00");
        for _ in 0..12_000 {
            bytes.extend(b"h\x00h\x00\x93");
        }
        bytes.push(b'.');
        let error = format!("{:#}", Pickle::parse(&bytes).unwrap_err());
        assert!(error.contains("longer than the file allows"), "{error}");
    }

    #[test]
    fn a_long_text_is_kept_as_bytes() {
        for (len, kept) in [(4096_u32, true), (4097, false)] {
            let mut bytes = b"\x80\x04X".to_vec();
            bytes.extend(len.to_le_bytes());
            bytes.extend(vec![b'm'; len as usize]);
            bytes.push(b'.');
            let pickle = Pickle::parse(&bytes).unwrap();
            assert_eq!(pickle.text(pickle.root()).is_some(), kept, "{len}");
        }
    }

    #[test]
    fn a_call_is_kept_as_data() {
        // os.system("x") is parsed, not executed.
        let pickle = Pickle::parse(b"\x80\x02cos\nsystem\nX\x01\0\0\0x\x85R.").unwrap();
        let Object::Call { function, .. } = pickle.get(pickle.root()) else {
            panic!("{pickle:?}");
        };
        assert_eq!(pickle.get(*function), &Object::Global("os.system".into()));
    }
}
