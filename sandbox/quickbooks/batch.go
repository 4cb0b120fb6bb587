package quickbooks

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/sandbox/call"
)

const (
	mostBatchItems   = 30
	mostBatchRequest = 36
	mostBatchID      = 10
)

// batch runs independent items. The answer is 200 whatever became of them.
func (a *App) batch(c *call.Call, r *realm) {
	var in struct {
		Items []map[string]json.RawMessage `json:"BatchItemRequest"`
	}
	if err := call.Decode(c.Body, &in); err != nil || len(in.Items) == 0 {
		refuse(c, malformed("BatchItemRequest"))
		return
	}
	if len(in.Items) > mostBatchItems {
		refuse(c, business("A batch may contain at most 30 items."))
		return
	}
	if n := len(c.Line.RequestID); n > mostBatchRequest {
		refuse(c, tooLong("requestid", mostBatchRequest, n))
		return
	}
	c.Reserve(len(in.Items))
	out := make([]map[string]any, len(in.Items))
	for i, item := range in.Items {
		out[i] = a.item(c, r, item)
	}
	c.Reply(http.StatusOK, map[string]any{"BatchItemResponse": out, "time": stamp(c.Now)})
}

func (a *App) item(c *call.Call, r *realm, item map[string]json.RawMessage) map[string]any {
	str := func(key string) string {
		var s string
		_ = json.Unmarshal(item[key], &s) // absent or of another type is ""
		return s
	}
	bid, operation := str("bId"), str("operation")
	answer := map[string]any{"bId": bid}
	refused := func(f ...fault) map[string]any {
		answer["Fault"] = validation(f)
		return answer
	}
	if len(bid) > mostBatchID {
		return refused(tooLong("bId", mostBatchID, len(bid)))
	}
	if q := str("Query"); q != "" {
		c.Part("query", "", "query", "")
		body, f := r.query(a.entities, q, c.Stale)
		if f != nil {
			return refused(*f)
		}
		answer["QueryResponse"] = body
		return answer
	}
	for key, raw := range item {
		e := a.entities[strings.ToLower(key)]
		if e == nil {
			continue
		}
		if e.name == payment {
			return refused(unsupported("Payment in a batch"))
		}
		request := ""
		if c.Line.RequestID != "" {
			request = c.Line.RequestID + ":" + bid
		}
		line := c.Part(e.name, "", operation, request)
		var body map[string]any
		if err := call.Decode(raw, &body); err != nil {
			line.Code = "2010"
			return refused(malformed(key))
		}
		if operation == "create" {
			delete(body, "Id")
		}
		res := a.apply(c, line, r, e, operation, body, request)
		if res.faults != nil {
			line.Status, line.Code = http.StatusBadRequest, res.faults[0].Code
			return refused(res.faults...)
		}
		line.Status = http.StatusOK
		answer[e.name] = res.body
		return answer
	}
	return refused(unsupported("batch item"))
}

// changes is the change data capture: what changed since a time, deleted too.
func (a *App) changes(c *call.Call, r *realm) {
	q := c.Request.URL.Query()
	since, ok := instant(q.Get("changedSince"))
	if !ok {
		refuse(c, missing("changedSince"))
		return
	}
	if c.Now.Sub(since) > 30*24*time.Hour {
		refuse(c, business("changedSince must be within the last 30 days."))
		return
	}
	var lists []map[string]any
	for kind := range strings.SplitSeq(q.Get("entities"), ",") {
		e := a.entities[strings.ToLower(strings.TrimSpace(kind))]
		if e == nil {
			refuse(c, badEnum("entities", kind))
			return
		}
		rows := r.changedSince(e, since)
		part := map[string]any{}
		if len(rows) > 0 {
			part = map[string]any{e.name: rows, "startPosition": 1, "maxResults": len(rows)}
		}
		lists = append(lists, part)
	}
	c.Reply(http.StatusOK, map[string]any{"CDCResponse": []any{map[string]any{"QueryResponse": lists}}, "time": stamp(c.Now)})
}

func (r *realm) changedSince(e *entity, since time.Time) []json.RawMessage {
	r.mu.RLock()
	var found []*object
	for _, o := range r.tables[e.name].byID {
		if !o.updated.Before(since) {
			found = append(found, o)
		}
	}
	r.mu.RUnlock()
	slices.SortFunc(found, func(a, b *object) int { return a.updated.Compare(b.updated) })
	out := make([]json.RawMessage, 0, min(len(found), mostResults))
	for _, o := range found[:min(len(found), mostResults)] {
		raw := o.raw
		if o.deleted {
			raw = call.Marshal(map[string]any{"domain": "QBO", "status": "Deleted", "Id": o.id, "MetaData": map[string]any{"LastUpdatedTime": metaTime(o.updated)}})
		}
		out = append(out, raw)
	}
	return out
}
