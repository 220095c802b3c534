// Package queuetest is for tests: helpers for those of applications, and [TestEngine], which every engine has to pass.
//
// The helpers stand over a broker in memory, which opens in microseconds, needs no cleaning up and works inside a testing/synctest bubble, where
// a retry in a minute takes no time. They report to the test that they were given and need nothing else:
//
//	Broker, Durable   a broker with topics; the second is on a disk that can lose power
//	Run               a handler by itself, without a broker
//	Consume           a group in the background
//	FailFirst         a handler that fails its first attempts
//	Drain             wait until a group has nothing left to do
//	Records           what a topic holds
//	ExpectPublished   that it holds what it should
//	Crash             take the power away, and open what is left
package queuetest
