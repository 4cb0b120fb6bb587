// Package sandbox plays Salesforce, QuickBooks Online and HubSpot in one HTTP
// server, at the vendors' own paths, so that the vendors' own clients work
// against it. It keeps its objects where they can be inspected, writes a ledger
// of every call, and makes calls go wrong by script (docs/sandbox.md).
//
// It is written from the vendors' documents and imports nothing of the
// integrations: else one error would sit on both sides. Start reading at [New];
// each vendor is a package of its own.
package sandbox
