package compare

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/cloudcwfranck/kspec"
)

// reason says why a request about an object failed, without any value of the
// object that the server may quote.
func reason(verb string, id kspec.ObjectID, err error) string {
	kind, said := kindOf(err), ""
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		said = saidBy(id, status.Status())
	}
	if said == "" {
		return verb + ": " + kind
	}
	return verb + ": " + kind + ": " + said
}

// refusal is reason of a request that sent want, or asked for it, without any
// secret of it that the server, or a webhook behind it, may quote. Where the
// team named places with secrets, only the fields are told.
func (r Rules) refusal(verb string, want kspec.Object, live *unstructured.Unstructured, err error) string {
	hide := r.redactor(want)
	roots := []map[string]any{want.Object}
	if live != nil {
		roots = append(roots, live.Object)
	}
	said := hide.scrub(reason(verb, want.ID(), err), roots...)
	if len(hide.places) == 0 && !secretText.MatchString(said) {
		return said
	}
	said = verb + ": " + kindOf(err)
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		said = strings.TrimSuffix(said+": "+fieldsIn(status.Status()), ": ")
	}
	return said
}

// kindOf names the error in few words.
func kindOf(err error) string {
	var netErr net.Error
	switch {
	case apierrors.IsForbidden(err):
		return "forbidden"
	case apierrors.IsUnauthorized(err):
		return "unauthorized"
	case apierrors.IsTooManyRequests(err):
		return "too many requests"
	case apierrors.IsConflict(err):
		return "conflict"
	case apierrors.IsInvalid(err):
		return "invalid"
	case apierrors.IsBadRequest(err):
		return "bad request"
	case apierrors.IsInternalError(err):
		return "internal error"
	case apierrors.IsServiceUnavailable(err):
		return "service unavailable"
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err),
		errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case apierrors.ReasonForError(err) != metav1.StatusReasonUnknown:
		return string(apierrors.ReasonForError(err))
	}
	if urlErr := (*url.Error)(nil); errors.As(err, &urlErr) {
		err = urlErr.Err // the URL says nothing that the object does not
	}
	return "no answer: " + scrub(err.Error())
}

// saidBy returns what the server said. Of a Secret only the fields are named.
func saidBy(id kspec.ObjectID, s metav1.Status) string {
	if !isSecret(id) {
		return scrub(s.Message)
	}
	return fieldsIn(s)
}

// fieldsIn returns the fields that the server named.
func fieldsIn(s metav1.Status) string {
	var fields []string
	if s.Details != nil {
		for _, c := range s.Details.Causes {
			fields = append(fields, c.Field)
		}
	}
	return strings.Join(fields, ", ")
}

var (
	// quoted matches a value that the API server's field errors repeat.
	quoted = regexp.MustCompile(`((?:Invalid|Unsupported|Duplicate) value: |Not found: )("(?:[^"\\]|\\.)*"|[^"\s][^:]*)`)
	// parsed matches a text that could not be read as a number or a time.
	parsed = regexp.MustCompile(`(pars(?:e|ing) (?:time )?)"(?:[^"\\]|\\.)*"`)
	// embedded matches JSON that an error repeats.
	embedded = regexp.MustCompile(`\{.*\}`)
	// control matches what a terminal or a log would act upon.
	control = regexp.MustCompile(`[[:cntrl:]]+`)
)

// scrub removes values of objects from an error text and keeps it short.
func scrub(s string) string {
	const most = 500
	s = control.ReplaceAllString(s, " ") // first, so that the others see one line
	s = embedded.ReplaceAllString(s, "[redacted]")
	s = quoted.ReplaceAllString(s, "$1[redacted]")
	s = parsed.ReplaceAllString(s, "$1[redacted]")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// transient reports whether asking again later may give another answer.
func transient(err error) bool {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		code := status.Status().Code
		return code == 408 || code == 429 || code >= 500
	}
	return true // no answer at all
}

// absent reports whether the server says that the object is not there.
func absent(err error) bool { return apierrors.IsNotFound(err) && !notServed(err) }

// notServed reports whether nothing answers at the URL: the kind is not served
// any more, or something that is no API server stands in between.
func notServed(err error) bool {
	status := apierrors.APIStatus(nil)
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return c.Type == metav1.CauseTypeUnexpectedServerResponse
	})
}

// lacksRight reports whether RBAC, and not an admission policy, said no.
func lacksRight(err error) bool {
	return apierrors.IsForbidden(err) && (strings.Contains(err.Error(), "cannot patch resource") ||
		strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held"))
}

// denied reports whether an admission policy or webhook said no.
func denied(err error) bool {
	return apierrors.IsForbidden(err) || strings.Contains(err.Error(), " denied ")
}

// immutable returns the fields that the server refuses to change.
func immutable(err error) []string {
	status := apierrors.APIStatus(nil)
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var fields []string
	for _, c := range status.Status().Details.Causes {
		if c.Field != "" && frozen.MatchString(c.Message) {
			fields = append(fields, c.Field)
		}
	}
	return fields
}

// frozen matches how the API server says that a field cannot be changed.
var frozen = regexp.MustCompile(`(?i)immutable|updates? to .* forbidden|(may|can) ?not be (changed|updated|modified)|(may|can) ?not change`)

func noKind(id kspec.ObjectID) string {
	return fmt.Sprintf("the cluster does not know the kind %s %s", id.GVK().GroupVersion(), id.Kind)
}
