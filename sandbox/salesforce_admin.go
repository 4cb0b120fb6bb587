package sandbox

import (
	"net/http"

	"github.com/fluxnex/fluxnex/sandbox/call"
	"github.com/fluxnex/fluxnex/sandbox/ledger"
	"github.com/fluxnex/fluxnex/sandbox/salesforce"
)

// salesforceRoutes are how a test or the demo plays the users of an org.
func (s *Server) salesforceRoutes(mux *http.ServeMux) {
	mux.HandleFunc("PUT /_sandbox/salesforce/{account}/{object}/{id}", s.putRecord)
	mux.HandleFunc("DELETE /_sandbox/salesforce/{account}/{object}/{id}", s.deleteRecord)
	mux.HandleFunc("POST /_sandbox/salesforce/{account}/{object}/merge", s.mergeRecords)
	mux.HandleFunc("PUT /_sandbox/salesforce/{account}/{object}", s.declareFields)
	mux.HandleFunc("POST /_sandbox/salesforce/{account}/outbound", s.sendOutbound)
	mux.HandleFunc("GET /_sandbox/salesforce/{account}/outbound", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.outbound.Pending()) })
	mux.HandleFunc("POST /_sandbox/salesforce/{account}/outbound/retry", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]int{"retried": s.outbound.Retry()})
	})
}

func recordLine(r *http.Request, op string) ledger.Entry {
	return ledger.Entry{App: "salesforce", Account: r.PathValue("account"), Object: r.PathValue("object"), ID: r.PathValue("id"), Op: op}
}

func (s *Server) putRecord(w http.ResponseWriter, r *http.Request) {
	var fields map[string]any
	if err := read(r, &fields); err != nil {
		fail(w, err)
		return
	}
	s.change(w, r, recordLine(r, "put"), func(c *call.Call) (any, error) {
		return s.salesforce.Put(c, r.PathValue("account"), r.PathValue("object"), r.PathValue("id"), fields)
	})
}

func (s *Server) deleteRecord(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, recordLine(r, "delete"), func(c *call.Call) (any, error) {
		return map[string]bool{"deleted": true}, s.salesforce.Delete(c, r.PathValue("account"), r.PathValue("object"), r.PathValue("id"), "")
	})
}

func (s *Server) mergeRecords(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Winner string   `json:"winner"`
		Losers []string `json:"losers"`
	}
	if err := read(r, &in); err != nil {
		fail(w, err)
		return
	}
	s.change(w, r, recordLine(r, "merge"), func(c *call.Call) (any, error) {
		return map[string]string{"winner": in.Winner}, s.salesforce.Merge(c, r.PathValue("account"), r.PathValue("object"), in.Winner, in.Losers)
	})
}

func (s *Server) declareFields(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Fields []string `json:"fields"`
	}
	if err := read(r, &in); err != nil {
		fail(w, err)
		return
	}
	s.change(w, r, recordLine(r, "declare"), func(c *call.Call) (any, error) {
		return map[string]int{"fields": len(in.Fields)}, s.salesforce.Layout(c, r.PathValue("account"), r.PathValue("object"), in.Fields)
	})
}

// sendOutbound sends for ever, or with ?once=true a single time.
func (s *Server) sendOutbound(w http.ResponseWriter, r *http.Request) {
	var ask salesforce.Outbound
	if err := read(r, &ask); err != nil {
		fail(w, err)
		return
	}
	once := r.URL.Query().Has("once") && r.URL.Query().Get("once") != "false"
	sent, err := s.outbound.Send(r.Context(), r.PathValue("account"), ask, once)
	if err != nil {
		fail(w, err)
		return
	}
	status := http.StatusOK
	if !once {
		status = http.StatusAccepted
	}
	answer(w, status, sent)
}
