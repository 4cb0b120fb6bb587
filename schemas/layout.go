package schemas

import (
	"time"

	"github.com/fluxnex/fluxnex/pkg/record"
)

// The layouts below follow the order of the fields in the schema files. The
// property test decodes with the library what they write, and the other way
// round, so an order that differs cannot pass.

func writeTime(w *writer, t time.Time) { w.WriteLong(t.UnixMicro()) }

func readTime(r *reader) time.Time { return time.UnixMicro(r.ReadLong()).UTC() }

func writeBytes(w *writer, b []byte) { w.WriteBytes(b) }

func readBytes(r *reader) []byte {
	b := r.ReadBytes()
	if len(b) == 0 {
		return nil
	}
	return b
}

func writeString[S ~string](w *writer, s S) { w.WriteString(string(s)) }

func readString[S ~string](r *reader) S { return S(r.ReadString()) }

// writeSlice writes one block without its size in bytes.
func writeSlice[E any](w *writer, s []E, write func(*writer, *E)) {
	if len(s) > maxElements {
		w.Error = errTooMany
		return
	}
	if len(s) > 0 {
		w.WriteLong(int64(len(s)))
		for i := range s {
			write(w, &s[i])
		}
	}
	w.WriteLong(0)
}

// writeSized writes one block with its size in bytes, which readers of other
// fields pass over.
func writeSized[E any](w *writer, s []E, size func(*E) int, write func(*writer, *E)) {
	if len(s) == 0 || len(s) > maxElements {
		writeSlice(w, s, write)
		return
	}
	total := 0
	for i := range s {
		total += size(&s[i])
	}
	w.WriteLong(-int64(len(s)))
	w.WriteLong(int64(total))
	for i := range s {
		write(w, &s[i])
	}
	w.WriteLong(0)
}

// readSlice allocates for what was read, never for what a count promises, and
// stops at the first error.
func readSlice[E any](r *reader, read func(*reader, *E)) []E {
	return readInto(r, nil, read)
}

// trusted is the most elements that room is made for before they are read.
const trusted = 64

// readInto uses the room there is, if any.
func readInto[E any](r *reader, s []E, read func(*reader, *E)) []E {
	for {
		n := r.ReadBlockHeader()
		if r.Error != nil || n == 0 {
			if len(s) == 0 {
				return nil
			}
			return s
		}
		if n < 0 || n > maxElements-int64(len(s)) {
			r.Error = errTooMany
			return nil
		}
		if s == nil {
			s = make([]E, 0, min(n, trusted))
		}
		for range n {
			var zero E
			s = append(s, zero)
			read(r, &s[len(s)-1])
			if r.Error != nil {
				return nil
			}
		}
	}
}

func writeLong(w *writer, n *int64) { w.WriteLong(*n) }

func readLong(r *reader, n *int64) { *n = r.ReadLong() }

func writeText(w *writer, s *string) { w.WriteString(*s) }

func readText(r *reader, s *string) { *s = r.ReadString() }

func writeRevision(w *writer, v record.Revision) {
	w.WriteInt(v.Generation)
	w.WriteLong(v.Offset)
}

func readRevision(r *reader) record.Revision {
	return record.Revision{Generation: r.ReadInt(), Offset: r.ReadLong()}
}

func writeHop(w *writer, v *record.Hop) {
	w.WriteString(v.Stage)
	writeTime(w, v.At)
}

func readHop(r *reader, v *record.Hop) {
	v.Stage = r.ReadString()
	v.At = readTime(r)
}

func writeLineage(w *writer, v *record.Lineage) {
	w.WriteString(v.GatewayTopic)
	w.WriteInt(v.Partition)
	w.WriteLong(v.Offset)
	w.WriteString(v.GatewayID)
	writeString(w, v.Origin)
	writeTime(w, v.ReceivedAt)
	writeSlice(w, v.Hops, writeHop)
	writeSlice(w, v.Recent, writeLong)
}

func readLineage(r *reader, v *record.Lineage) {
	v.GatewayTopic = r.ReadString()
	v.Partition = r.ReadInt()
	v.Offset = r.ReadLong()
	v.GatewayID = r.ReadString()
	v.Origin = readString[record.Origin](r)
	v.ReceivedAt = readTime(r)
	if r.room == nil {
		v.Hops, v.Recent = readSlice(r, readHop), readSlice(r, readLong)
		return
	}
	v.Hops, v.Recent = r.room.hops.read(r, readHop), r.room.longs.read(r, readLong)
}

func writeHeader(w *writer, v *record.Header) {
	w.WriteString(v.Name)
	w.WriteString(v.Value)
}

func readHeader(r *reader, v *record.Header) {
	v.Name = r.ReadString()
	v.Value = r.ReadString()
}

func writeField(w *writer, v *record.Field) {
	w.WriteString(v.Name)
	writeString(w, v.Kind)
	w.WriteString(v.Value)
	w.WriteString(v.Version)
}

func readField(r *reader, v *record.Field) {
	v.Name = r.ReadString()
	v.Kind = readString[record.FieldKind](r)
	v.Value = r.ReadString()
	v.Version = r.ReadString()
}

// sizeOfField is how many bytes writeField writes.
func sizeOfField(v *record.Field) int {
	return sizeOfText(len(v.Name)) + sizeOfText(len(v.Kind)) + sizeOfText(len(v.Value)) + sizeOfText(len(v.Version))
}

func sizeOfText(n int) int {
	size := n + 1
	for n >= 1<<6 { // the first byte holds six bits of a length, the others seven
		n >>= 7
		size++
	}
	return size
}

// readFields is readSlice of fields, in the batch's room.
func readFields(r *reader) []record.Field {
	if r.room == nil {
		return readSlice(r, readField)
	}
	return r.room.fields.read(r, readField)
}

// skipFields passes over an array of fields.
func skipFields(r *reader) []record.Field {
	var v record.Field
	for {
		n, size := r.block()
		switch {
		case r.Error != nil || n == 0:
			return nil
		case n < 0 || n > maxElements:
			r.fail(errTooMany)
		case size >= 0:
			r.skip(size)
		default:
			for range n {
				readField(r, &v)
			}
		}
	}
}

func writeReference(w *writer, v *record.Reference) {
	w.WriteString(v.Path)
	writeString(w, v.RecordID)
	w.WriteString(v.Object)
	w.WriteBool(v.Optional)
}

func readReference(r *reader, v *record.Reference) {
	v.Path = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.Object = r.ReadString()
	v.Optional = r.ReadBool()
}

func writeEntity(w *writer, v *record.CanonicalEntity) {
	w.WriteString(v.Entity)
	w.WriteString(v.CanonicalID)
	writeString(w, v.State)
	w.WriteString(v.Reason)
	writeBytes(w, v.Body)
}

func readEntity(r *reader, v *record.CanonicalEntity) {
	v.Entity = r.ReadString()
	v.CanonicalID = r.ReadString()
	v.State = readString[record.EntityState](r)
	v.Reason = r.ReadString()
	v.Body = readBytes(r)
}

func writeDependency(w *writer, v *record.Dependency) {
	writeString(w, v.RecordID)
	w.WriteString(v.Digest)
}

func readDependency(r *reader, v *record.Dependency) {
	v.RecordID = readString[record.ID](r)
	v.Digest = r.ReadString()
}
