// Package integration is what an app under integrations/ implements: "the app
// defines the logic, the platform moves the data". An integration is a struct
// of small abilities; nil means it cannot. Abilities do no I/O of their own:
// where the outside has to be asked they are handed a [Caller]. Nothing here
// knows Kafka, Postgres or Redis.
//
// Every ability must be safe for concurrent use and must not keep the slices
// it is given.
package integration

import (
	"context"
	"net/http"
	"time"

	"github.com/fluxnex/fluxnex/pkg/canonical"
	"github.com/fluxnex/fluxnex/pkg/record"
)

// Integration is what one app can do.
type Integration struct {
	App   string // "revenova": the {source} of the webhook URL and the prefix of record ids
	Short string // of a destination: "qb" in gateway ids of its commands ("gw-qb-…"); "" = App

	// LocalID is the id as Webhook would name the record, for an id as a person
	// writes it (Salesforce: 15 characters become 18); nil: it is the same.
	LocalID func(text string) string

	// As a source.
	Webhook   Webhook
	Replicate Replicator
	Normalize Normalizer
	Fetch     Fetcher
	Poll      Poller

	// As a destination.
	Map     Mapper
	Deliver Deliverer
}

// Webhook splits one HTTP body into record events. The gateway has already
// authenticated the sender.
type Webhook interface {
	// Detect names the body's format ("outbound-message", …) and how its sender
	// must have authenticated, looking at the content type and the first bytes
	// only: it is asked before anything is trusted.
	Detect(contentType string, body []byte) (format string, auth AuthScheme)
	// Split understands only as much as it needs to find each event's record.
	// An error means the whole body cannot be split: it is then stored whole.
	// A part that has no readable record id is returned with an empty LocalID.
	// What is returned may be parts of body: it is good for as long as body is,
	// and nobody writes to it.
	Split(format string, body []byte) (Delivery, error)
	// Accepted and Failed are the bodies the sender expects. The ids are letters,
	// digits and dashes; the slice is not kept.
	Accepted(format string, gatewayIDs []string) Response
	Failed(format string, message string) Response
}

// AuthScheme is how the sender of a webhook proves itself.
type AuthScheme string

const (
	AuthSecret          AuthScheme = "secret"           // ?key= or Basic, plus the organization id in the body
	AuthStandardWebhook AuthScheme = "standard-webhook" // webhook-id, webhook-timestamp, webhook-signature
)

// Delivery is one webhook body, split.
type Delivery struct {
	// Organization identifies the sender's org, normalised ("" if the format has none).
	Organization string
	Events       []Event
	// Sanitized is the whole body without credentials, for storing it whole: of a
	// body that cannot be split.
	Sanitized []byte
}

// Event is one record's part of a webhook body.
type Event struct {
	LocalID string // the record id without the app prefix, normalised (18 characters); "" if unreadable
	EventID string // the sender's own id of this event, "" if none
	// Payload is what Replicate will be given: this event alone, verbatim, in
	// the format named, without credentials.
	Format      string
	ContentType string
	Payload     []byte
}

// Response is an HTTP answer.
type Response struct {
	ContentType string
	Body        []byte
}

// Replicator reads stored payloads.
type Replicator interface {
	// Version of the parser; bump it when the meaning of a stored payload
	// changes. An equal source version read by a newer parser overwrites.
	Version() int32
	// Observe reads one payload of one format. An error is final: the bytes are
	// dead-lettered. What is returned may be parts of payload: it is good for as
	// long as payload is, and nobody writes to it. Its fields may be in room, which
	// may be nil.
	Observe(format, contentType string, payload []byte, room []record.Field) (Observation, error)
}

// Observation is what one payload says about one record.
type Observation struct {
	EntityType string // "sf_account"
	// Version orders observations of one record bytewise; "" if the source gave
	// none, which always ends in a fetch.
	Version string
	// Complete: Fields is the whole record as the source has it (a REST read);
	// otherwise absent fields mean nothing.
	Complete bool
	Deleted  bool
	Fields   []record.Field // any order; each name once; Field.Version stays ""
}

// Normalizer maps replicas to canonical entities.
type Normalizer interface {
	// Parents lists the records whose fields Normalize needs. Asked again with
	// what was found, it may name parents of parents; nil ends it. The graph of
	// entity types is acyclic.
	Parents(r *record.Replica) []Parent
	// Normalize is pure. parents holds those that are known (live or not).
	Normalize(r *record.Replica, parents map[record.ID]*record.Replica, s Settings) Normalized
	// Used names the fields of an entity type that dependents use: only a change
	// in these wakes them.
	Used(entityType string) []string
	// Fetchable reports the source object's name for an entity type ("Account"
	// for "sf_account"); false where it cannot be fetched.
	Fetchable(entityType string) (string, bool)
}

// Parent is a record whose fields a child uses.
type Parent struct {
	RecordID   record.ID
	EntityType string // "rtms__load"
	Required   bool   // without it the child waits
}

// Settings are a tenant's settings for one app, from its connection
// ("vendor_types": ["Carrier", "Vendor"]).
type Settings map[string]any

// Normalized is what a replica is.
type Normalized struct {
	Entities []Canonical
	// References are records that Entities point to without using their fields:
	// never waited for here, but fetched if nobody knows them.
	References []Parent
	// Failure stops the record: it has failed with this code until it changes.
	Failure *Problem
	// Ignored says why there is no canonical entity; used if Entities is empty.
	Ignored string
}

// Canonical is one typed canonical entity.
type Canonical struct {
	Entity canonical.Entity
	// Value is *canonical.Vendor, …; nil with Withdrawn set.
	Value any
	// Withdrawn says why a record that is of this entity must not be sent (on
	// hold, pending, cancelled).
	Withdrawn string
	// Void: what was sent must be undone too (load cancelled after invoicing).
	Void bool
}

// Problem is a business problem a person has to solve.
type Problem struct {
	Code    string // stable: "missing_field"
	Field   string // the destination's or source's field name
	Message string // one sentence for a person
	Remedy  string // what to do
}

// Request is one HTTP call to an app, relative to the connection's base URL.
// It is stored before it is sent.
type Request struct {
	Method      string      `json:"method"`
	Path        string      `json:"path"`            // "/v3/company/9130/vendor"
	Query       string      `json:"query,omitempty"` // encoded
	ContentType string      `json:"content_type,omitempty"`
	Header      http.Header `json:"header,omitempty"`
	Body        []byte      `json:"body,omitempty"`
}

// Answer is an app's HTTP answer, body capped.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Caller sends a request over one connection: base URL, credentials, limits and
// deadlines are its own. An error is a *fault.Error: the connection failed or
// the answer's status is a failure by the ability's Classify.
type Caller interface {
	Call(ctx context.Context, req Request) (Answer, error)
}

// Account describes the connection a call is made for.
type Account struct {
	Remote   string // realm id, portal id, org id
	Settings Settings
}

// Fetcher reads records from a source app.
type Fetcher interface {
	// Fetch asks for up to Batch records of one object; the result has one entry
	// for each id, in any order. An error holds for all of them.
	Fetch(ctx context.Context, c Caller, object string, localIDs []string) ([]Fetched, error)
	Batch() int
	// Classify turns an HTTP answer into nil or a *fault.Error.
	Classify(a Answer) error
}

// Poller asks a source app for removals that it does not announce. Calls are
// classified by the app's Fetcher.
type Poller interface {
	// Polled names the objects to ask for.
	Polled() []string
	// Gone asks for the records of one object that were removed between two
	// times. An object that the account does not have has none.
	Gone(ctx context.Context, c Caller, object string, since, until time.Time) (Gone, error)
}

// Gone is what was removed.
type Gone struct {
	// Records have payloads that say so, with the version of the removal.
	Records []Fetched
	// Changed are the local ids of records of the same object that removals
	// changed unannounced: the winner of a merge.
	Changed []string
	// Covered is up to when the answer is whole; the next one begins there.
	Covered time.Time
}

// Fetched is one record's answer.
type Fetched struct {
	LocalID string
	Outcome record.Outcome // payload, absent or failed
	Detail  string
	Format  string
	Payload []byte
}

// Mapper turns canonical records into a destination's objects.
type Mapper interface {
	// Objects says which objects the ready entities of one record become, with
	// the default mapping applied. Several entities may become one object (a
	// customer and vendor account: one HubSpot company).
	Objects(in Source, a Account) []Object
	// Of names the row ("Vendor", "companies") an entity becomes, for deletes
	// and withdrawals; "" if it is not routed to this app.
	Of(e canonical.Entity) string
	// Validate checks an object with a tenant's overrides applied, against the
	// app's mandatory fields and limits. It may fix what is safe to fix (cut a
	// name at the limit) by changing the object.
	Validate(o *Object) []Problem
	// Describe lists the app's objects for docs, validation of mappings and the
	// conformance suite.
	Describe() []ObjectSchema
}

// Source is one record as a mapper sees it.
type Source struct {
	RecordID record.ID
	Entities []Entity
	Fields   []record.Field // every field of the source record
	// Former lists entities the record was and no longer is (withdrawn or
	// deleted): what was sent for them may still be at the destination.
	Former []canonical.Entity
}

// Entity is one ready canonical entity.
type Entity struct {
	Entity      canonical.Entity
	CanonicalID string
	Value       any // *canonical.Vendor, …
}

// Object is one destination object to be.
type Object struct {
	Object     string // row identity: "Invoice"
	Type       string // what it is now: "CreditMemo"
	Entities   []canonical.Entity
	Payload    *Tree // money as json.Number
	References []record.Reference
	Name       string
	Number     string
	// Problems are what the default mapping could not do and no override of a
	// field can heal (a currency the account does not keep). The object is not
	// sent while there are any.
	Problems []Problem
}

// ObjectSchema describes an object of a destination.
type ObjectSchema struct {
	Object   string
	Entities []canonical.Entity
	Fields   []FieldSchema
	// Open objects take fields that are not listed (HubSpot's custom
	// properties). In others a path must begin like a listed one.
	Open bool
}

// FieldSchema describes one field; Path is dotted ("BillAddr.City").
type FieldSchema struct {
	Path      string
	Mandatory bool
	Max       int // characters; 0 = no limit
}

// Operation is one change to one destination object.
type Operation struct {
	Account  Account
	RecordID record.ID
	Object   string
	Type     string
	Verb     record.Verb
	Payload  []byte // with references resolved
	// RequestID is stable for this body: same id only ever with the same body.
	RequestID string
	Applied   *Remote // nil: we never created it
	// AppliedPayload is what we sent last, for sparse updates and merges.
	AppliedPayload []byte
}

// Remote is an object as the destination has it.
type Remote struct {
	Type    string // "CreditMemo"
	ID      string
	Version string // SyncToken; "" where the app has none
	Active  bool
	Body    []byte // as last read; may be nil
}

// Deliverer makes changes in a destination. Every method but the ones with a
// Caller is pure.
type Deliverer interface {
	// Prepare says what to send next for op. The change is done when Done is
	// returned; until then Prepare is called again with the new Applied (void
	// the invoice, then create the credit memo).
	Prepare(op Operation) (Step, error)
	// Read takes the object out of a successful answer to req.
	Read(op Operation, req Request, a Answer) (Remote, error)
	// Classify turns an HTTP answer into nil or a *fault.Error. It is total: any
	// status with any body has exactly one class.
	Classify(a Answer) error
	// Resolve looks for the effect of a request whose answer was lost, and says
	// whether it happened. (nil, nil) means it certainly or probably did not:
	// the same request is then sent again with the same request id.
	Resolve(ctx context.Context, c Caller, op Operation, sent Request) (*Remote, error)
	// Latest reads the object by id; nil if it is gone.
	Latest(ctx context.Context, c Caller, op Operation) (*Remote, error)
	// Merge re-bases op on what the destination has now: only fields we own.
	// Overwritten lists fields a person changed there and we write over.
	Merge(op Operation, theirs Remote) (payload []byte, overwritten []string, err error)
	// Probe is a cheap authenticated read, and returns the remote account id.
	Probe(ctx context.Context, c Caller, a Account) (string, error)
	// OAuth describes the token endpoint behaviour; nil for static tokens.
	OAuth() *OAuth
	// Limits are the documented limits per remote account.
	Limits() Limits
}

// Recoverer is what a Deliverer can do besides: heal a refusal by looking at
// what the destination has.
type Recoverer interface {
	// Recover is asked after op was refused (a business refusal). It returns the
	// object op is to be prepared again with, as op.Applied: one of ours under
	// the name that is taken, one that somebody made inactive, one that is gone
	// (Active false). nil: the refusal stands. A retryable error: what stood in
	// the way is being removed, try op again later. A business error: the refusal
	// with a better remedy. The caller asks once per code and
	// attempt and bounds the attempts.
	Recover(ctx context.Context, c Caller, op Operation, refusal error) (*Remote, error)
}

// Step is what to do next for an operation.
type Step struct {
	Request Request
	// Done: nothing to send; Remote is the outcome (a delete of something never created).
	Done   bool
	Remote *Remote
	// Final: when Request succeeds the operation is complete.
	Final bool
}

// OAuth describes an app's token endpoint.
type OAuth struct {
	TokenURL string // the vendor's own; a connection may override it
	// BasicAuth: client id and secret go into the Authorization header, else into the form.
	BasicAuth bool
	// Rotates: the answer may hold a new refresh token, which must be durable
	// before the access token is used.
	Rotates bool
}

// Limits are requests allowed per remote account over all processes; 0 = none.
type Limits struct {
	PerSecond  float64
	PerMinute  int
	InFlight   int
	SearchRate float64 // per second, where searches are limited apart
}
