package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Class says what can be done about a delivery that failed.
type Class string

// The classes.
const (
	// Retry means that the same message may be taken later.
	Retry Class = "retry"
	// RetryAfter means that the receiver asked to be left alone for a while.
	RetryAfter Class = "retry-after"
	// Payload means that this message will never be taken; others may be.
	Payload Class = "payload"
	// Destination means that nothing will be taken until a person mends the
	// receiver or its configuration.
	Destination Class = "destination"
)

// Permanent reports whether trying again cannot help.
func (c Class) Permanent() bool { return c == Payload || c == Destination }

// maxRetryAfter bounds what a receiver may ask for.
const maxRetryAfter = 15 * time.Minute

// Error is a delivery that failed.
type Error struct {
	Class Class
	// Status is the HTTP status of the last answer, 0 when there was none.
	Status int
	// After is how long the receiver asked to be left alone, at most fifteen
	// minutes, and 0 when it did not say.
	After time.Duration
	// Reason is in kspec's words or in the vendor's documented ones.
	Reason string
	// Err is the context's error when that ended the delivery.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return e.Reason
	case e.Reason == "":
		return fmt.Sprintf("the receiver answered %d %s", e.Status, http.StatusText(e.Status))
	default:
		return fmt.Sprintf("the receiver answered %d: %s", e.Status, e.Reason)
	}
}

// Unwrap returns the context's error, if that ended the delivery.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of err. An error that is not an [*Error], such as
// a secret that could not be read, may be mended by time: [Retry].
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Retry
}

// AfterOf returns how long the receiver that gave err wants to be left alone.
func AfterOf(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.After
	}
	return 0
}

// classOf is the one table of what an HTTP status means.
func classOf(status int) Class {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return RetryAfter
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return Retry
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return Destination
	}
	switch {
	case status >= 500:
		return Retry
	case status >= 400:
		return Payload
	default: // redirects, which are never followed, and what is no answer to a POST
		return Destination
	}
}

// statusError is nil for a 2xx.
func statusError(resp *http.Response, now time.Time) *Error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	e := &Error{Class: classOf(resp.StatusCode), Status: resp.StatusCode}
	if e.Class == RetryAfter {
		e.After = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	if resp.StatusCode/100 == 3 {
		e.Reason = "redirects are not followed"
	}
	return e
}

// retryAfter reads a number of seconds or an HTTP date; anything else is 0.
func retryAfter(header string, now time.Time) time.Duration {
	after := time.Duration(0)
	if seconds, err := strconv.ParseUint(header, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		after = time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	} else if date, err := http.ParseTime(header); err == nil {
		after = date.Sub(now)
	}
	return min(max(after, 0), maxRetryAfter)
}

// transportError puts the error of a request that got no answer into words
// that hold neither its address nor anything from the other side.
func transportError(err error) *Error {
	var (
		known  *Error
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		dns    *net.DNSError
		op     *net.OpError
		timer  interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, context.Canceled):
		return &Error{Class: Retry, Reason: "the delivery was cancelled", Err: context.Canceled}
	case errors.As(err, &cert):
		return &Error{Class: Destination, Reason: "the certificate of the receiver is not valid: " + certReason(cert)}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &Error{Class: Destination, Reason: "the receiver does not speak TLS"}
	case errors.As(err, &dns) && !dns.IsTimeout:
		return &Error{Class: Retry, Reason: "the host of the receiver cannot be resolved"}
	case errors.As(err, &timer) && timer.Timeout():
		return &Error{Class: Retry, Reason: "the receiver did not answer in time", Err: deadline(err)}
	case errors.As(err, &op):
		return &Error{Class: Retry, Reason: op.Op + ": " + errnoReason(op)}
	default:
		return &Error{Class: Retry, Reason: "the connection to the receiver broke"}
	}
}

func deadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return nil
}

func certReason(err *tls.CertificateVerificationError) string {
	var (
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &host):
		return "it is for another host"
	case errors.As(err, &unknown):
		return "it is signed by an unknown authority"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it is out of date"
	default:
		return "it cannot be verified"
	}
}

func errnoReason(op *net.OpError) string {
	if errno, ok := errors.AsType[syscall.Errno](op); ok {
		return errno.Error()
	}
	return "the connection broke"
}
