package schemas

import "github.com/fluxnex/fluxnex/pkg/record"

func writeGateway(w *writer, v *record.GatewayEvent) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	w.WriteString(v.GatewayID)
	writeString(w, v.Origin)
	writeTime(w, v.ReceivedAt)
	w.WriteString(v.Format)
	w.WriteString(v.ContentType)
	writeSlice(w, v.Headers, writeHeader)
	writeString(w, v.Outcome)
	w.WriteString(v.Detail)
	w.WriteString(v.Version)
	writeBytes(w, v.Payload)
	w.WriteLong(v.ConfigVersion)
	w.WriteInt(v.Depth)
}

func readGateway(r *reader, v *record.GatewayEvent) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.GatewayID = r.ReadString()
	v.Origin = readString[record.Origin](r)
	v.ReceivedAt = readTime(r)
	v.Format = r.ReadString()
	v.ContentType = r.ReadString()
	v.Headers = readSlice(r, readHeader)
	v.Outcome = readString[record.Outcome](r)
	v.Detail = r.ReadString()
	v.Version = r.ReadString()
	v.Payload = readBytes(r)
	v.ConfigVersion = r.ReadLong()
	v.Depth = r.ReadInt()
}

func writeReplica(w *writer, v *record.Replica) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	w.WriteString(v.EntityType)
	writeString(w, v.Presence)
	w.WriteString(v.Detail)
	w.WriteString(v.Version)
	writeSlice(w, v.Fields, writeField)
	w.WriteInt(v.ParserVersion)
	writeRevision(w, v.Revision)
	w.WriteLong(v.ConfigVersion)
	writeLineage(w, &v.Lineage)
	w.WriteString(v.Complete)
	w.WriteInt(v.Depth)
}

func readReplica(r *reader, v *record.Replica) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.EntityType = r.ReadString()
	v.Presence = readString[record.Presence](r)
	v.Detail = r.ReadString()
	v.Version = r.ReadString()
	v.Fields = readFields(r)
	v.ParserVersion = r.ReadInt()
	v.Revision = readRevision(r)
	v.ConfigVersion = r.ReadLong()
	readLineage(r, &v.Lineage)
	v.Complete = r.ReadString()
	v.Depth = r.ReadInt()
}

func writeCanonical(w *writer, v *record.Canonical) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	w.WriteString(v.EntityType)
	writeString(w, v.Status)
	w.WriteString(v.Code)
	w.WriteString(v.Detail)
	writeSlice(w, v.Entities, writeEntity)
	writeSlice(w, v.Dependencies, writeDependency)
	writeTime(w, v.WaitingSince)
	writeSized(w, v.SourceFields, sizeOfField, writeField)
	writeRevision(w, v.Revision)
	w.WriteLong(v.ConfigVersion)
	writeLineage(w, &v.Lineage)
}

func readCanonical(r *reader, v *record.Canonical) { canonicalWith(r, v, readFields) }

// readCanonicalHead leaves out what most readers do not look at and is most of
// the value.
func readCanonicalHead(r *reader, v *record.Canonical) { canonicalWith(r, v, skipFields) }

func canonicalWith(r *reader, v *record.Canonical, fields func(*reader) []record.Field) {
	canonicalState(r, v)
	v.SourceFields = fields(r)
	v.Revision = readRevision(r)
	v.ConfigVersion = r.ReadLong()
	readLineage(r, &v.Lineage)
}

// readCanonicalState reads no further than it needs.
func readCanonicalState(r *reader, v *record.Canonical) {
	canonicalState(r, v)
	r.at = len(r.text)
}

func canonicalState(r *reader, v *record.Canonical) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.EntityType = r.ReadString()
	v.Status = readString[record.Status](r)
	v.Code = r.ReadString()
	v.Detail = r.ReadString()
	v.Entities = readSlice(r, readEntity)
	v.Dependencies = readSlice(r, readDependency)
	v.WaitingSince = readTime(r)
}

func writeFetchRequest(w *writer, v *record.FetchRequest) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	w.WriteString(v.EntityType)
	writeString(w, v.Reason)
	writeString(w, v.NeededBy)
	w.WriteInt(v.Depth)
	w.WriteInt(v.Attempt)
	writeTime(w, v.Requested)
	writeLineage(w, &v.Lineage)
}

func readFetchRequest(r *reader, v *record.FetchRequest) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.EntityType = r.ReadString()
	v.Reason = readString[record.FetchReason](r)
	v.NeededBy = readString[record.ID](r)
	v.Depth = r.ReadInt()
	v.Attempt = r.ReadInt()
	v.Requested = readTime(r)
	readLineage(r, &v.Lineage)
}

func writeOutbound(w *writer, v *record.OutboundCommand) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	w.WriteString(v.GatewayID)
	w.WriteString(v.TargetName)
	w.WriteString(v.App)
	writeSlice(w, v.Entities, writeText)
	w.WriteString(v.Object)
	w.WriteString(v.Type)
	writeString(w, v.Verb)
	w.WriteString(v.Reason)
	writeBytes(w, v.Payload)
	writeSlice(w, v.References, writeReference)
	w.WriteString(v.Name)
	w.WriteString(v.DocumentNumber)
	writeRevision(w, v.Revision)
	w.WriteLong(v.MappingVersion)
	w.WriteLong(v.ConfigVersion)
	writeLineage(w, &v.Lineage)
}

func readOutbound(r *reader, v *record.OutboundCommand) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.GatewayID = r.ReadString()
	v.TargetName = r.ReadString()
	v.App = r.ReadString()
	v.Entities = readSlice(r, readText)
	v.Object = r.ReadString()
	v.Type = r.ReadString()
	v.Verb = readString[record.Verb](r)
	v.Reason = r.ReadString()
	v.Payload = readBytes(r)
	v.References = readSlice(r, readReference)
	v.Name = r.ReadString()
	v.DocumentNumber = r.ReadString()
	v.Revision = readRevision(r)
	v.MappingVersion = r.ReadLong()
	v.ConfigVersion = r.ReadLong()
	readLineage(r, &v.Lineage)
}

func writeDelivery(w *writer, v *record.DeliveryResult) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	w.WriteString(v.App)
	w.WriteString(v.RemoteAccount)
	w.WriteString(v.TargetName)
	w.WriteString(v.Object)
	w.WriteString(v.Type)
	writeString(w, v.Verb)
	w.WriteString(v.Outcome)
	w.WriteString(v.DestinationID)
	w.WriteString(v.DestinationVersion)
	w.WriteInt(v.Attempts)
	w.WriteLong(v.LatencyMillis)
	w.WriteString(v.Class)
	w.WriteString(v.Code)
	w.WriteString(v.Detail)
	writeTime(w, v.At)
	writeRevision(w, v.Revision)
	writeLineage(w, &v.Lineage)
}

func readDelivery(r *reader, v *record.DeliveryResult) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.App = r.ReadString()
	v.RemoteAccount = r.ReadString()
	v.TargetName = r.ReadString()
	v.Object = r.ReadString()
	v.Type = r.ReadString()
	v.Verb = readString[record.Verb](r)
	v.Outcome = r.ReadString()
	v.DestinationID = r.ReadString()
	v.DestinationVersion = r.ReadString()
	v.Attempts = r.ReadInt()
	v.LatencyMillis = r.ReadLong()
	v.Class = r.ReadString()
	v.Code = r.ReadString()
	v.Detail = r.ReadString()
	v.At = readTime(r)
	v.Revision = readRevision(r)
	readLineage(r, &v.Lineage)
}

func writeNotification(w *writer, v *record.Notification) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	writeString(w, v.Audience)
	w.WriteString(v.Stage)
	w.WriteString(v.Class)
	w.WriteString(v.Code)
	w.WriteString(v.Message)
	w.WriteString(v.Remedy)
	w.WriteString(v.Target)
	w.WriteString(v.Object)
	w.WriteString(v.Fingerprint)
	w.WriteBool(v.Resolved)
	writeRevision(w, v.Revision)
	writeTime(w, v.At)
	writeLineage(w, &v.Lineage)
}

func readNotification(r *reader, v *record.Notification) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.Audience = readString[record.Audience](r)
	v.Stage = r.ReadString()
	v.Class = r.ReadString()
	v.Code = r.ReadString()
	v.Message = r.ReadString()
	v.Remedy = r.ReadString()
	v.Target = r.ReadString()
	v.Object = r.ReadString()
	v.Fingerprint = r.ReadString()
	v.Resolved = r.ReadBool()
	v.Revision = readRevision(r)
	v.At = readTime(r)
	readLineage(r, &v.Lineage)
}

func writeDeadLetter(w *writer, v *record.DeadLetter) {
	writeString(w, v.TenantID)
	w.WriteString(v.SourceApp)
	writeString(w, v.RecordID)
	w.WriteString(v.Topic)
	w.WriteInt(v.Partition)
	w.WriteLong(v.Offset)
	writeBytes(w, v.Key)
	writeBytes(w, v.Value)
	writeSlice(w, v.Headers, writeHeader)
	w.WriteString(v.Stage)
	w.WriteString(v.Class)
	w.WriteString(v.Code)
	w.WriteString(v.Error)
	writeTime(w, v.At)
}

func readDeadLetter(r *reader, v *record.DeadLetter) {
	v.TenantID = readString[record.TenantID](r)
	v.SourceApp = r.ReadString()
	v.RecordID = readString[record.ID](r)
	v.Topic = r.ReadString()
	v.Partition = r.ReadInt()
	v.Offset = r.ReadLong()
	v.Key = readBytes(r)
	v.Value = readBytes(r)
	v.Headers = readSlice(r, readHeader)
	v.Stage = r.ReadString()
	v.Class = r.ReadString()
	v.Code = r.ReadString()
	v.Error = r.ReadString()
	v.At = readTime(r)
}
