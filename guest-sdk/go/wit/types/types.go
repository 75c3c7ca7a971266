// Package types has the component model's general types, as the generated bindings use them.
package types

// The cases of an Option and of a Result.
const (
	OptionNone uint8 = iota
	OptionSome
)
const (
	ResultOk uint8 = iota
	ResultErr
)

// Unit is a value without content.
type Unit struct{}

// Tuple2 is a pair.
type Tuple2[A, B any] struct {
	F0 A
	F1 B
}

// Option is a value or none.
type Option[T any] struct {
	some  bool
	value T
}

// Some is a value that is there.
func Some[T any](value T) Option[T] { return Option[T]{true, value} }

// None is one that is not.
func None[T any]() Option[T] { return Option[T]{} }

// Tag says which case it is.
func (o Option[T]) Tag() uint8 {
	if o.some {
		return OptionSome
	}
	return OptionNone
}

// Some is the value; it panics where there is none.
func (o Option[T]) Some() T {
	if !o.some {
		panic("gantry: an option without a value")
	}
	return o.value
}

// SomeOr is the value, or another one where there is none.
func (o Option[T]) SomeOr(other T) T {
	if o.some {
		return o.value
	}
	return other
}

// Result is an answer or an error.
type Result[T, E any] struct {
	bad   bool
	value T
	err   E
}

// Ok is an answer.
func Ok[T, E any](value T) Result[T, E] { return Result[T, E]{value: value} }

// Err is an error.
func Err[T, E any](err E) Result[T, E] { return Result[T, E]{bad: true, err: err} }

// Tag says which case it is.
func (r Result[T, E]) Tag() uint8 {
	if r.bad {
		return ResultErr
	}
	return ResultOk
}

// Ok is the answer; it panics where it is an error.
func (r Result[T, E]) Ok() T {
	if r.bad {
		panic("gantry: a result without an answer")
	}
	return r.value
}

// Err is the error; it panics where it is an answer.
func (r Result[T, E]) Err() E {
	if !r.bad {
		panic("gantry: a result without an error")
	}
	return r.err
}
